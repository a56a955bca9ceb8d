"""A client of the fake backend, and rows of the assets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fsclient import Client
from fsclient.testing import FakeBackend
from fsengine.server.embedded import EmbeddedServer

Rows = dict[str, dict[str, Any]]


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(2)


@pytest.fixture
def client(backend: FakeBackend) -> Iterator[Client]:
    with Client(backend=backend) as opened:
        yield opened


@pytest.fixture(scope="session")
def ingested(shared: Path, scored_assets: Callable[..., Path]) -> Callable[..., Rows]:
    """Return what gives the rows of `scored_assets` by their path below `samples/`."""

    def rows_of(server: EmbeddedServer, name: str, sample: int | None = None) -> Rows:
        rows = pq.read_table(scored_assets(server, name, sample)).to_pylist()
        return {os.path.relpath(row["source"], shared / "samples"): row for row in rows}

    return rows_of
