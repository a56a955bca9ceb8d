"""A client of the fake backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsclient import Client
from fsclient.testing import FakeBackend


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(2)


@pytest.fixture
def client(backend: FakeBackend) -> Iterator[Client]:
    with Client(backend=backend) as opened:
        yield opened
