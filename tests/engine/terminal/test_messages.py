from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from fsengine.errors import InvalidInputError
from fsengine.terminal.command_group import ExplainedGroup
from fsengine.terminal.messages import printable, say
from fsengine.terminal.tables import Table, show

HARMLESS = ["größe Zoe\u0308.jpg", "写真 \u3000.png", "क्\u200dष", "👩\u200d👧.jpg", "a b"]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_a_terminal_shows_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb", "a\\nb"),
        ("a\x9bb\x7f", "a\\x9bb\\x7f"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(f"{text}\n", lines=True) == shown.replace("\\n", "\n") + "\n"


def test_texts_and_cells_of_tables_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    show(["photos \x1b[2J\nof one", Table(header=["name"], rows=[["a\nb\x07.jpg"]], align="l")])
    assert capsys.readouterr().out == "photos \\x1b[2J\nof one\nname\na\\nb\\x07.jpg\n"


def test_lines_and_errors_are_escaped_wherever_they_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\n/photos/\x1b[2J.jpg")
    assert capsys.readouterr().err == "one\n/photos/\\x1b[2J.jpg\n"

    @click.group(cls=ExplainedGroup)
    def program() -> None: ...

    @program.command()
    def fail() -> None:
        raise InvalidInputError("folder /photos/\x1b[2J\x07 holds nothing")

    result = CliRunner().invoke(program, ["fail"])
    assert "folder /photos/\\x1b[2J\\x07 holds nothing" in result.output
