"""Which cluster a run uses, and how much of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fsclient.backend.server_choice import ServerChoice
from fsclient.ingest.ray_runner.worker_servers import Servers
from fsengine.errors import InvalidInputError

ADDRESS_VARIABLE = "RAY_ADDRESS"

_WINDOW = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class RaySettings:
    """Which cluster a run uses, and how much of it.

    Attributes:
        address: `HOST:PORT` of the cluster's head, or `auto` for the cluster that this machine is a node of; None for
            what RAY_ADDRESS says, or else a cluster of this machine alone, which ends with the run.
        servers: Whom the workers ask: running servers; or what each node's own server serves.
        num_actors: Workers that ask; None for one per node.
        window: Photos that Ray Data is given at a time.
        request_timeout_s: The longest wait for one photo, of a node's own server.
    """

    address: str | None = None
    servers: Servers | ServerChoice
    num_actors: int | None = None
    window: int = _WINDOW
    request_timeout_s: float

    def __post_init__(self) -> None:
        if self.num_actors is not None and self.num_actors < 1:
            raise InvalidInputError(f"{self.num_actors} workers, expected 1 or more")
        if "://" in self.asked_address:
            raise InvalidInputError(
                f"Ray address {self.asked_address!r} has a scheme, expected HOST:PORT or auto: a run reads what its "
                "workers hand over from the cluster's own memory, so start it on a node of the cluster"
            )

    @property
    def asked_address(self) -> str:
        """Return the address as Ray takes it; `local` for a cluster of this machine alone."""
        return self.address or os.environ.get(ADDRESS_VARIABLE) or "local"
