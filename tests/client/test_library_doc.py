"""docs/reference/library.md: its examples are typed, and run on the fake backend and on the real embedded server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fsclient
from fsclient.testing import FakeBackend

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "reference" / "library.md").read_text()
EXAMPLES = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def folder(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the examples expect it, which is the current one."""
    (tmp_path / "photos").mkdir()
    for name in ("hopper.jpg", "obama.jpg", "page.png"):
        shutil.copy(photos / name, tmp_path / "photos" / name)
    shutil.copy(photos / "hopper.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_are_typed(folder: Path) -> None:
    (folder / "examples.py").write_text(EXAMPLES)
    packages = [str(ROOT / name) for name in ("client", "data", "engine", "export")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), "examples.py"],
        env={**os.environ, "MYPYPATH": os.pathsep.join(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_run_on_the_fake(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (fsclient.Client, fsclient.AsyncClient):
        monkeypatch.setattr(kind, "embedded", lambda kind=kind: kind(backend=FakeBackend(1)))
    exec(compile(EXAMPLES, "docs/reference/library.md", "exec"), {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert "page.png ok 1" in shown
    assert "{'gender': ['female', 'male']}" in shown


@pytest.mark.triton
def test_the_examples_run_on_the_embedded_server() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert "page.png no_face 0" in done.stdout
    assert "obama.jpg ok 1" in done.stdout


def test_the_tree_of_errors_is_the_one_of_the_code() -> None:
    from fsengine import errors

    for name in re.findall(r"[├└]── (\w+)", TEXT):
        assert name in (errors.__doc__ or "")
        assert hasattr(fsclient, name)
