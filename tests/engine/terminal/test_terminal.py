"""Tables and progress: rich on a terminal, whole cells in plain text and no bar anywhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from fsengine.terminal.messages import counted
from fsengine.terminal.tables import Table, plain_text, show
from terminal_for_tests import on_terminal, without_codes

LONG = "a cell of many words " * 10

PROGRAM = f"""
import sys, time
from fsengine.terminal.messages import say
from fsengine.terminal.progress_bar import progress_bar
from fsengine.terminal.tables import Table, show

with progress_bar("ingest", 3, "photo") as bar:
    for number in range(1, 4):
        time.sleep(0.25)
        bar.note = f"{{7 * number}} faces"
        bar.advance()
        time.sleep(0.12)
        say(f"line {{number}} [bold]")
        sys.stdout.write(f"result {{number}}\\n")
show(["levels", Table(header=["name", "photos/s"], rows=[["[red]", "1"], [{LONG!r}, "22"]], align="lr")])
sys.stdout.write("rich is loaded" if "rich" in sys.modules else "rich is not loaded")
"""


def run_on_terminal(*, out: bool, **environment: str) -> tuple[str, str]:
    """Run the program with stderr on a terminal, and stdout too or into a pipe; return what came out of each."""
    with on_terminal([sys.executable, "-c", PROGRAM], stdout=out, environment=environment) as (program, shown):
        written, _ = program.communicate(timeout=60)
        assert program.returncode == 0, shown.text
    return shown.text, written or ""


def test_plain_tables_are_aligned_and_whole() -> None:
    table = Table(header=["name", "size", "why"], rows=[["a", "1", LONG], ["bcdef", "1024", ""]], align="lrl", indent=2)
    lines = plain_text(["above", table, "below"]).splitlines()
    assert lines == ["above", "  name   size  why", f"  a         1  {LONG.rstrip()}", "  bcdef  1024", "below"]


def test_a_table_without_rows_or_header_is_no_line() -> None:
    assert plain_text(["above", Table(rows=[], align="ll"), "below"]) == "above\nbelow"


@pytest.mark.parametrize(
    ("rows", "align", "message"),
    [
        ([["a", "b"]], "l", "a row of 2 cells"),
        ([["a"]], "c", "must have an l or an r"),
        ([], "", "must have an l or an r"),
    ],
)
def test_a_table_that_does_not_fit_its_columns_is_refused(rows: list[list[str]], align: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Table(rows=rows, align=align)


def test_tables_go_to_stdout_unless_they_are_notes(capsys: pytest.CaptureFixture[str]) -> None:
    show(["one"])
    show(["two"], err=True)
    assert capsys.readouterr() == ("one\n", "two\n")


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 photos"), (1, "1 photo"), (2, "2 photos"), (12_345, "12,345 photos")]
)
def test_one_is_singular(number: int, text: str) -> None:
    assert counted(number, "photo") == text


@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}])
def test_without_a_terminal_there_is_no_bar_and_no_code(forced: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "40", **forced},
        timeout=60,
        check=True,
    )
    assert done.stderr.splitlines() == ["line 1 [bold]", "line 2 [bold]", "line 3 [bold]"]
    assert done.stdout.splitlines() == [
        "result 1",
        "result 2",
        "result 3",
        "levels",
        f"name{' ' * (len(LONG) - 4)}  photos/s",
        f"[red]{' ' * (len(LONG) - 5)}         1",
        f"{LONG}        22",
        "rich is not loaded",
    ]


def test_a_terminal_shows_a_bar_with_lines_above_it_and_results_stay_in_their_file() -> None:
    seen, written = run_on_terminal(out=False)
    text = without_codes(seen)
    assert re.search(r"ingest [━╸╺ ]+ 1/3 photos.* 7 faces", text), text
    assert "2/3 photos" in text
    assert "\x1b[2K" in seen  # the bar is drawn over
    # Each line for people is whole and stands alone.
    assert [line for line in re.split(r"[\r\n]+", text) if "line " in line] == [f"line {n} [bold]" for n in (1, 2, 3)]
    assert written.splitlines()[:4] == ["result 1", "result 2", "result 3", "levels"]
    assert written.splitlines()[-2] == f"{LONG}        22"
    assert "result" not in text


def test_a_terminal_folds_long_cells_and_cuts_nothing() -> None:
    seen, _ = run_on_terminal(out=True)
    table = without_codes(seen).replace("\r", "").split("levels\n")[1]
    assert table.splitlines()[1].split() == ["[red]", "1"]
    assert max(map(len, table.splitlines())) <= 100
    assert table.count("many") == LONG.count("many")
    assert "\x1b[1m" in seen
    assert "rich is loaded" in table


def test_no_color_is_respected() -> None:
    seen, _ = run_on_terminal(out=True, NO_COLOR="1")
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", seen))
    assert codes <= {"0", "1"}, codes


def test_a_terminal_that_is_dumb_gets_plain_text() -> None:
    seen, _ = run_on_terminal(out=True, TERM="dumb")
    assert "\x1b" not in seen
    assert "1/3" not in seen
    assert f"{LONG}        22" in seen
