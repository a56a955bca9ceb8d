"""Gateways in front of the suite's server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fsclient import Client
from fsengine.server.embedded import EmbeddedServer
from gateway_process import GatewayProcess, gateway_process, limited_gateway

LIMITS = {
    "connections": 200,
    "photo_bytes": 200_000,
    "request_bytes": 600_000,
    "photos_per_request": 3,
    "photos_at_server": 1,
    "waiting": 2,
    "wait_s": 0.3,
    "idle_s": 0.5,
    "photo_sending_s": 1.0,
    "header_s": 1.0,
    "reading_s": 1.0,
    "linger_s": 0.3,
    "batches": 1,
    "batch_window": 2,
}
"""Small enough to be reached at once."""


@pytest.fixture(scope="session")
def gateway(lite_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """The command in front of the server."""
    log = tmp_path_factory.mktemp("gateway") / "log"
    with gateway_process(log, "--server", lite_server.url, "--log-format", "json") as found:
        yield found


@pytest.fixture(scope="session")
def tight(lite_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with `LIMITS`."""
    log = tmp_path_factory.mktemp("tight") / "log"
    with limited_gateway(log, lite_server.url, LIMITS) as found:
        yield found


@pytest.fixture
def http(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture(scope="session")
def astronaut(photos: Path) -> bytes:
    return (photos / "astronaut.jpg").read_bytes()


@pytest.fixture(scope="session")
def coffee(photos: Path) -> bytes:
    """A photo without a face."""
    return (photos / "coffee.jpg").read_bytes()


@pytest.fixture(scope="session")
def known(lite_server: EmbeddedServer, astronaut: bytes, coffee: bytes) -> dict[bytes, dict[str, Any]]:
    """What the client library says of the photos, without embeddings."""
    with Client(lite_server.url) as client:
        return {photo: client.score(photo, embedding=False).to_dict() for photo in (astronaut, coffee)}
