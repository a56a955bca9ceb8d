"""The servers of a Ray cluster, as a run of ingest opens and closes them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fsclient.backend.address import TOKEN_VARIABLE
from fsclient.backend.server_choice import ServerChoice
from fsclient.backend.session import Session
from fsclient.ingest.ray_runner.ray_backend import RayBackend
from fsclient.ingest.ray_runner.ray_cluster import RayCluster
from fsclient.ingest.ray_runner.ray_settings import RaySettings
from fsclient.ingest.ray_runner.worker_servers import NamedServers
from fsclient.ingest.settings import IngestConfig
from fsengine.errors import InvalidInputError


@asynccontextmanager
async def ray_session(config: IngestConfig, choice: ServerChoice, request_timeout_s: float) -> AsyncIterator[Session]:
    """Give the servers of a cluster, whose own ones end with the context.

    Args:
        config: The run.
        choice: The servers that the workers ask in turn, or what the server of each node serves.
        request_timeout_s: The longest wait for one photo.

    Raises:
        InvalidInputError: There is a token that the workers would not have.
        MissingDependencyError: Ray is not installed.
        FaceStatsError: The cluster or its servers cannot be reached, or a node has another version of this package.
    """
    _refuse_token(choice)
    servers = (
        choice
        if choice.server is None
        else NamedServers.of(choice.server, choice.access, request_timeout_s=request_timeout_s)
    )
    settings = RaySettings(
        address=config.ray_address,
        servers=servers,
        num_actors=config.processes,
        request_timeout_s=request_timeout_s,
    )
    backend = RayBackend(RayCluster(settings), config.retry)
    try:
        served = await backend.served()
        yield Session(backend=backend, served=served, photos_in_flight=backend.photos_in_flight)
    finally:
        await backend.close()


def _refuse_token(choice: ServerChoice) -> None:
    """Refuse a token that workers would not have: none is sent to them, as whatever passes through a cluster is read.

    Raises:
        InvalidInputError: There is one, and it is not that of the environment.
    """
    token = choice.access.token
    if token is not None and token != os.environ.get(TOKEN_VARIABLE, "").strip():
        raise InvalidInputError(
            f"the workers of a Ray cluster take the token from {TOKEN_VARIABLE} in the environment that their node was "
            "started with: leave --token-file out, and set it there and here"
        )
