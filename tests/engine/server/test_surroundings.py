"""Where the server and its stubs run: paths that a shell takes as they are, no Python settings of the user's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fsengine.errors import ServerError
from fsengine.server.embedded import logs_folder
from fsengine.server.surroundings import RunFolder, check_names, environment, make_run_folder

HOSTILE = ["a b", "$(touch x)", "`touch x`", "it's", 'say "x"', "a;b", "a&b", "a\nb", "a*b", "ä", "~", "a\\b", "#a"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_run_folder_is_safe_in_a_command_line_whatever_tmpdir_is(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    run = make_run_folder(place)
    try:
        assert not run.root.is_relative_to(place)
        echoed = subprocess.run(["bash", "-c", f"echo {run.root}"], capture_output=True, text=True, check=True).stdout
        assert echoed == f"{run.root}\n"
        assert list(run.current.iterdir()) == []
        assert run.root.stat().st_mode & 0o077 == 0
    finally:
        shutil.rmtree(run.root)


def test_a_safe_tmpdir_is_used(tmp_path: Path) -> None:
    assert make_run_folder(tmp_path).root.parent == tmp_path


def test_no_room_for_a_run_folder_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="TMPDIR"):
        make_run_folder(tmp_path / "missing")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_repository_with_an_unsafe_name_is_refused_before_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "embed" / "1" / name).mkdir(parents=True)
    with pytest.raises(ServerError, match="rename or remove it"):
        check_names(tmp_path)


def test_the_path_of_a_repository_may_hold_anything(tmp_path: Path) -> None:
    repository = tmp_path / "$(x) y"
    (repository / "embed" / "1").mkdir(parents=True)
    (repository / "embed" / "1" / "model.onnx").touch()
    check_names(repository)


def test_the_environment_has_nothing_that_runs_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "BASH_ENV", "BASH_FUNC_exec%%", "ENV", "SHELLOPTS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PATH", f":.:bin:{os.environ['PATH']}")
    monkeypatch.setenv("LD_LIBRARY_PATH", ":lib:/usr/lib;other:")
    variables = environment(RunFolder(tmp_path), 3)
    assert not [name for name in variables if name.startswith(("PYTHON", "BASH")) or name in ("ENV", "SHELLOPTS")]
    here = os.getcwd()
    folders = variables["PATH"].split(":")
    assert folders[:3] == [str(Path(sys.executable).parent), here, f"{here}/bin"]
    assert variables["LD_LIBRARY_PATH"].split(":")[2:] == [f"{here}/lib", "/usr/lib", f"{here}/other"]
    assert all(Path(folder).is_absolute() for folder in variables["LD_LIBRARY_PATH"].split(":"))
    assert variables["TMPDIR"] == f"{tmp_path}/tmp"
    assert (variables["OMP_NUM_THREADS"], variables["OMP_WAIT_POLICY"]) == ("3", "passive")


def test_an_interpreter_that_path_cannot_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/a:b/bin/python")
    with pytest.raises(ServerError, match="colon"):
        environment(RunFolder(tmp_path), 1)


def test_logs_have_absolute_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert logs_folder() == Path.cwd() / "state" / "facestats" / "logs"
