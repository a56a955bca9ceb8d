"""A client of the fake backend, and folders of the assets ingested once for all that look at them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fsclient import Client
from fsclient.testing import FakeBackend
from fsengine.server.embedded import EmbeddedServer

TIMEOUT_S = 900

Rows = dict[str, dict[str, Any]]


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(2)


@pytest.fixture
def client(backend: FakeBackend) -> Iterator[Client]:
    with Client(backend=backend) as opened:
        yield opened


@pytest.fixture(scope="session")
def ingested(
    shared: Path, fsclient_command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[EmbeddedServer, str], Rows]:
    """Return what scores a folder of the assets and gives its rows by their path below `samples/`; each folder once."""
    done: dict[tuple[str, str], Rows] = {}

    def run(server: EmbeddedServer, name: str) -> Rows:
        if (server.url, name) not in done:
            out = tmp_path_factory.mktemp("out")
            command = [*fsclient_command, "ingest", "--strict", str(shared / "samples" / name), "--out", str(out)]
            result = subprocess.run(
                [*command, "--server", server.url],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            assert result.returncode in (0, 3), result.stderr  # most folders have files that are no photos
            rows = pq.read_table(out).to_pylist()
            done[server.url, name] = {os.path.relpath(row["source"], shared / "samples"): row for row in rows}
        return done[server.url, name]

    return run
