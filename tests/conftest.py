"""Fixtures that the whole suite shares: test assets, an own place for models and logs, running servers."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from built_full_size_pack import built_full_size_pack
from certificates import Certificate, make_certificate
from fsclient.models.name_to_repository import served_repository
from fsdata.sample_photos import sample_folder
from fsengine.server.embedded import EmbeddedServer

if TYPE_CHECKING:
    from faulty_proxy import FaultyProxy
    from s3_server import S3Server

ROOT = Path(__file__).resolve().parents[1]


def find_shared() -> Path | None:
    folder = Path(os.environ.get("FACESTATS_TEST_ASSETS") or ROOT.parent / "shared")
    return folder if (folder / "samples" / "MANIFEST.tsv").is_file() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the test assets."""
    folder = find_shared()
    if folder is None:
        pytest.skip("the test assets are missing; set FACESTATS_TEST_ASSETS to their folder")
    return folder


@pytest.fixture(scope="session")
def manifest(shared: Path) -> dict[str, dict[str, str]]:
    """What is known of each asset, by its path below `samples/`."""
    with (shared / "samples" / "MANIFEST.tsv").open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep built models, logs and caches of the suite out of the user's folders."""
    home = tmp_path_factory.mktemp("home")
    saved = dict(os.environ)
    # A folder that outlives the run saves building the full-size pack again.
    os.environ.setdefault("FACESTATS_MODELS", str(home / "models"))
    os.environ.pop("FACESTATS_SERVER", None)
    os.environ["XDG_STATE_HOME"] = str(home / "state")
    yield
    os.environ.clear()
    os.environ.update(saved)


@pytest.fixture(scope="session")
def photos() -> Path:
    """Folder of the photos that ship with the project."""
    return sample_folder()


@pytest.fixture(scope="session")
def lite_server() -> Iterator[EmbeddedServer]:
    """A running embedded server of the lite pack."""
    with EmbeddedServer(served_repository("lite", print)) as server:
        yield server


@pytest.fixture(scope="session")
def full_server(shared: Path) -> Iterator[EmbeddedServer]:
    """A running embedded server of the full-size pack: every head."""
    with EmbeddedServer(served_repository(str(built_full_size_pack(shared)), print)) as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of this machine, and its key."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def fsclient_command() -> list[str]:
    """The command line of `fsclient` in this environment."""
    return [sys.executable, "-c", "from fsclient.cli import main; main()"]


@pytest.fixture(scope="session")
def scored_assets(
    shared: Path, fsclient_command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Return what scores a folder of the assets with a server, and gives the results: `(server, name, sample=None)`.

    Each is scored once for all tests that ask for it; a sample is the same for all of them.
    """
    done: dict[tuple[str, str, int | None], Path] = {}

    def run(server: EmbeddedServer, name: str, sample: int | None = None) -> Path:
        asked = server.url, name, sample
        if asked not in done:
            out = tmp_path_factory.mktemp("scored")
            command = [*fsclient_command, "ingest", "--strict", str(shared / "samples" / name), "--out", str(out)]
            command += ["--server", server.url, *([] if sample is None else ["--sample", str(sample)])]
            result = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
            assert result.returncode in (0, 3), result.stderr  # most folders have files that are no photos
            done[asked] = out
        return done[asked]

    return run


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    """An S3 server that all tests share."""
    from s3_server import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """An S3 server with an empty bucket, which the environment leads to."""
    for name, value in s3_process.environment().items():
        monkeypatch.setenv(name, value)
    yield s3_process
    s3_process.clear()


@pytest.fixture
def faulty_s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy before the S3 server, which the environment leads to."""
    from faulty_proxy import faulty_proxy

    with faulty_proxy(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy
