"""A folder with nothing left to do: what is asked for is compared with what is there, without a server."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fsclient import Client
from fsclient.cli import main
from fsclient.testing import FakeBackend
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import shipped_folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def given(tmp_path: Path, photos: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for name in ("hopper.jpg", "obama.jpg"):
        shutil.copy(photos / name, tmp_path / "photos")
    return tmp_path / "photos"


def finished(given: Path, *without: str) -> Path:
    """Make results of the lite pack's model set."""
    backend = FakeBackend(1)
    models = read_pack(shipped_folder("packs") / "lite").without(without).served()
    backend.ensemble = replace(backend.ensemble, models=models)
    with Client(backend=backend) as client:
        assert client.ingest(given, given.parent / "out").num_rows == 2
    return given.parent / "out"


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        ((), 0, "2 of them were done before"),
        (("--models", "lite"), 0, "2 of them were done before"),
        (("--without", "ethnicity"), 1, "results of different sets do not mix"),
        (("--models", "lite", "--without", "age_gender"), 1, "results of different sets do not mix"),
        (("--without", "smile"), 2, "no head 'smile'"),
        (("--models", "nope"), 2, "known packs: "),
        (("--models", "./nope"), 2, "holds no pack.json"),
        (("--server", "127.0.0.1:9"), 4, "127.0.0.1:9 is unavailable"),
    ],
)
def test_a_finished_folder_says_what_a_real_run_would(
    given: Path, options: tuple[str, ...], exit_code: int, message: str
) -> None:
    out = finished(given)
    result = run("ingest", given, "--out", out, *options)
    assert (result.exit_code, message in result.output) == (exit_code, True), result.output
    assert "starting the embedded server" not in result.output


def test_an_assembled_repository_is_compared_by_what_its_manifest_says(given: Path, tmp_path: Path) -> None:
    assert run("models", "build", "lite", "--without", "ethnicity", "--out", tmp_path / "repo").exit_code == 0
    out = finished(given, "ethnicity")
    assert run("ingest", given, "--out", out, "--models", f"{tmp_path}/repo").exit_code == 0
    assert run("ingest", given, "--out", out, "--models", "lite").exit_code == 1
    (tmp_path / "repo" / "facestats.json").write_text('{"target": "pip", "served": {}}')
    damaged = run("ingest", given, "--out", out, "--models", f"{tmp_path}/repo")
    assert (damaged.exit_code, "assemble the repository again" in damaged.output) == (1, True)


def test_without_options_other_models_are_told_and_refused_before_a_server_starts(given: Path) -> None:
    out = finished(given, "ethnicity")
    result = run("ingest", given, "--out", out)
    assert result.exit_code == 0
    assert "note: " in result.output
    assert "by default" in result.output
    (given / "new.jpg").write_bytes((given / "obama.jpg").read_bytes())
    refused = run("ingest", given, "--out", out)
    assert (refused.exit_code, "do not mix" in refused.output) == (1, True)
    assert "starting the embedded server" not in refused.output


def test_a_source_with_nothing_to_score_ends_with_2_and_says_what_was_skipped(given: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no photo")
    result = run("ingest", tmp_path / "notes", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "skipped: 1 file (1 text)" in result.output
    for option in ("--include=*.txt", "--strict"):
        # The server is asked only once there is something to score.
        assert run("ingest", tmp_path / "notes", "--out", tmp_path / "out", option, "--server", "a:1").exit_code == 4
    assert run("score", tmp_path / "notes").exit_code == 2


def test_what_was_skipped_and_could_not_be_searched_is_told_at_the_end(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = finished(given)
    (given / "notes.txt").write_text("no photo")
    (given / "@eaDir").mkdir()
    result = run("ingest", given, "--out", out)
    assert result.exit_code == 0
    assert "skipped: 1 file (1 text) and 1 folder (1 @eaDir)" in result.output
    (given / "closed").mkdir()
    scandir = os.scandir

    def refuse(folder: Any) -> Any:
        if isinstance(folder, bytes) and folder.endswith(b"/closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    for source in (str(given), f"{given}/**"):
        result = run("ingest", source, "--out", out)
        assert result.exit_code == 3
        assert f"{given / 'closed'}: the folder cannot be read: Permission denied" in result.output


def test_a_look_alike_name_is_hinted_at_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "Zoe\u0308").mkdir()
    result = run("ingest", tmp_path / "Zo\u00eb", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "spelled in another Unicode form" in result.output
