"""Commands among modules that nobody should import, in folders that a shell would run, behind a proxy that is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from fsclient.models.name_to_repository import served_repository
from fsengine.server.embedded import EmbeddedServer

pytestmark = pytest.mark.triton

TIMEOUT_S = 90
HOSTILE = "a b;$(touch PWNED-by-shell)`touch PWNED-by-shell`'\"&|é"
PLANTED = ("_bootlocale", "copy", "ctypes", "encodings", "json", "numpy", "random", "secrets", "sitecustomize")
PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")
CLOSED_PORT = "http://127.0.0.1:9"


def plant(folder: Path, told: Path) -> None:
    """Put modules into a folder that write their name to a file when something imports or runs them."""
    for name in PLANTED:
        (folder / f"{name}.py").write_text(f"open({str(told)!r}, 'a').write('{name} ')\nraise ImportError('planted')\n")


class Machine:
    """A user's folders with hostile names: virtual environment, models, home, and a current one full of modules."""

    def __init__(self, root: Path, photo: Path) -> None:
        self.told = root / "told.txt"
        self.home = root / HOSTILE
        self.photos = self.home / "photos"
        self.photos.mkdir(parents=True)
        shutil.copy(photo, self.photos / "face.jpg")
        shutil.copytree(served_repository("lite", print), self.home / "models" / "repository")
        plant(self.photos, self.told)
        for name in ("tmp", "state", "cache", "bin"):
            (self.home / name).mkdir()
        # As a console script: Python puts its folder on the path, not the current one.
        self.script = self.home / "bin" / "fsclient"
        self.script.write_text("from fsclient.cli import main\nmain()\n")
        self.python = self._virtual_environment(self.home / "venv")

    @staticmethod
    def _virtual_environment(folder: Path) -> Path:
        """Make an environment with the packages of this one; return its interpreter."""
        base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        (folder / "bin").mkdir(parents=True)
        for name in ("python", "python3"):
            (folder / "bin" / name).symlink_to(base)
        (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
        packages = folder / "lib" / base.name / "site-packages"
        packages.parent.mkdir(parents=True)
        packages.symlink_to(sysconfig.get_path("purelib"))
        return folder / "bin" / "python"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in the folder of photos."""
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "FACESTATS_MODELS": str(self.home / "models"),
            "BASH_ENV": "sitecustomize.py",
        }
        for name in PROXIES:
            environment[name] = environment[name.upper()] = CLOSED_PORT
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            environment.pop(name, None)
        return subprocess.Popen(
            [str(self.python), str(self.script), *arguments],
            cwd=self.photos,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def check_unharmed(self) -> None:
        """Check that nothing was run that lies about, and that no run folder was left."""
        assert not self.told.exists(), f"executed: {self.told.read_text()}"
        assert [str(path) for path in self.home.parent.rglob("PWNED-by*")] == []
        assert list((self.home / "tmp").glob("facestats-*")) == []


@pytest.fixture
def machine(tmp_path: Path, shared: Path) -> Machine:
    return Machine(tmp_path, shared / "samples" / "reports" / "B02" / "face.jpg")


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "face.jpg", "--json", "--models", "../models/repository"],
        ["ingest", ".", "--out", "../results", "--models", "lite"],
        ["bench", "face.jpg", "--json", "--rounds", "1", "--concurrency", "1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_runs_nothing_that_lies_about(machine: Machine, arguments: list[str]) -> None:
    command = machine.start(*arguments)
    try:
        printed, said = command.communicate(timeout=TIMEOUT_S)
    finally:
        command.terminate()
    machine.check_unharmed()
    assert command.returncode in (0, 3), said  # the planted modules are no photos
    if arguments[0] == "score":
        assert json.loads(printed)[0]["status"] == "ok"
    elif arguments[0] == "bench":
        assert json.loads(printed)["failures"] == 0
    else:
        assert list((machine.home / "results").glob("part-*.parquet"))


def test_a_served_server_is_reached_past_the_proxy(machine: Machine) -> None:
    server = machine.start("serve", "--models", "../models/repository")
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address, server.communicate()[1]
        command = machine.start("score", "face.jpg", "--json", "--server", address)
        printed, said = command.communicate(timeout=TIMEOUT_S)
        assert command.returncode == 0, said
        assert json.loads(printed)[0]["faces"]
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=TIMEOUT_S)
    machine.check_unharmed()


def test_a_planted_module_among_the_photos_of_a_report_is_not_executed(tmp_path: Path, shared: Path) -> None:
    folder = Path(shutil.copytree(shared / "samples" / "reports" / "B02", tmp_path / "photos"))
    folder.chmod(0o755)
    repository = served_repository("lite", print).absolute()
    previous = Path.cwd()
    os.chdir(folder)
    try:
        with EmbeddedServer(repository) as server:
            assert server.alive()
    finally:
        os.chdir(previous)
    assert not (folder / "PWNED.txt").exists()
