from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fsclient.cli import main


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest", "PHOTOS"], "--out"),
        (["ingest", "missing.jpg", "--out", "OUT"], "does not exist"),
        (["ingest", "PHOTOS", "--out", "OUT", "--server", "localhost"], "not HOST:PORT"),
        (["ingest", "PHOTOS", "--out", "OUT", "--server", "http://localhost:8001"], "not HOST:PORT"),
        (["score", "PHOTOS", "--server", "localhost:\u00b2"], "not HOST:PORT"),
        (["score", "PHOTOS", "--server", "localhost:\u0663\u0663"], "not HOST:PORT"),
        (["score", "PHOTOS", "--server", "::1:8001"], r"for example localhost:8001 or [::1]:8001"),
        (["score", "PHOTOS", "--server", "h\n:80"], "not HOST:PORT"),
        (["score", "PHOTOS", "--server", "a,b:80"], "not HOST:PORT"),
        (["ingest", "PHOTOS", "--out", "OUT", "--server", "a:1", "--without", "ethnicity"], "exclude each other"),
        (["score", "PHOTOS", "--server", "a:1", "--gpu"], "exclude each other"),
        (["ingest", "PHOTOS", "--out", "OUT", "--concurrency", "0"], "0 is not in the range"),
        (["ingest", "PHOTOS", "--out", "OUT", "--retry", "broken"], "corrupt"),
        (["ingest", "PHOTOS", "--out", "OUT", "--models", "nosuch"], "known packs: "),
        (["ingest", "PHOTOS", "--out", "OUT", "--models", "./nosuch"], "holds no pack.json"),
        (["ingest", "PHOTOS", "--out", "OUT", "--without", "smile"], "no head 'smile'"),
        (["score", "missing.jpg"], "does not exist"),
        (["models", "build", "nosuch"], "known packs"),
        (["models", "verify", "nosuch"], "known packs"),
        (["models", "verify", "demo"], "'lite' replaces it"),
        (["score", "PHOTOS", "--models", "demo"], "--refresh --models lite"),
        (["table", "build", "PHOTOS"], "holds no parts"),
        (["table", "info", "missing"], "does not exist"),
    ],
)
def test_what_cannot_be_used_is_refused_with_exit_code_2(
    tmp_path: Path, photos: Path, arguments: list[str], message: str
) -> None:
    places = {"PHOTOS": str(photos), "OUT": str(tmp_path / "out")}
    result = run(*(places.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_server_that_is_not_there_leaves_everything_unfinished(tmp_path: Path, photos: Path) -> None:
    result = run("ingest", photos, "--out", tmp_path / "out", "--server", "127.0.0.1:9")
    assert result.exit_code == 4
    assert "127.0.0.1:9 is unavailable" in result.output


def test_models_list_names_files_licences_and_marks() -> None:
    result = run("models", "list")
    assert result.exit_code == 0
    for expected in (
        "lite (default): here",
        "official: not built",
        "Apache-2.0",
        "[lite: small permissive models, recognises people]",
        "detect",
        "MB",
    ):
        assert expected in result.output


def test_models_verify_says_what_it_compared() -> None:
    result = run("models", "verify")
    assert result.exit_code == 0
    assert "lite: 5 files" in result.output


def test_models_build_prints_the_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["models", "build", "lite", "--without", "ethnicity", "--out", str(tmp_path / "repository")]
    )
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "repository")
    assert not (tmp_path / "repository" / "ethnicity").exists()
