"""What a run is told of the servers that the workers of its cluster ask; photos go through `RayPool` alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fsclient.backend.served_capacity import ServedCapacity
from fsclient.backend.server_choice import ServerChoice
from fsclient.backend.server_retries import RetryPolicy
from fsclient.ingest.daemon_threads import in_daemon
from fsclient.ingest.ray_runner.ray_cluster import RayCluster, ServedByWorker
from fsengine.contracts.served import ServedEnsemble, ServedHead
from fsengine.errors import InferenceError


class RayBackend:
    """The servers of a cluster as one of its workers finds them.

    Attributes:
        cluster: Opened on first use.
    """

    connect_again = None

    def __init__(self, cluster: RayCluster, retry: RetryPolicy) -> None:
        """Prepare; nothing is started yet.

        Args:
            cluster: See the class.
            retry: What a worker does where its server is not to be had.
        """
        self.cluster = cluster
        self._retry = retry
        self._answer: ServedByWorker | None = None
        self._num_workers = 1
        self._asking = asyncio.Lock()

    @property
    def isolates(self) -> bool:
        """Return whether a server can decode a photo alone; see `InferenceBackend.isolates`."""
        return self._answer is not None and self._answer.isolates

    @property
    def capacity(self) -> ServedCapacity:
        """Return how much a server can take of one worker; see `InferenceBackend.capacity`."""
        if self._answer is None:
            return ServedCapacity()
        capacity = self._answer.capacity
        if not isinstance(self.cluster.settings.servers, ServerChoice):  # all workers share the servers that are named
            capacity = replace(capacity, photos_in_flight=max(1, capacity.photos_in_flight // self._num_workers))
        return capacity

    @property
    def photos_in_flight(self) -> int | None:
        """Return the most photos that a server has room for; None where it is not known."""
        return None if self._answer is None else self._answer.photos_in_flight

    async def served(self) -> ServedEnsemble:
        """Return what is served; a cluster is asked once, and each worker checks its server again."""
        async with self._asking:
            if self._answer is None:
                await in_daemon(self.cluster.open)
                self._num_workers = self.cluster.settings.num_actors or len(await in_daemon(self.cluster.nodes))
                self._answer = await in_daemon(lambda: self.cluster.ask_served(self._retry))
        return self._answer.served

    async def infer(
        self, data: bytes, outputs: Sequence[str], *, orientation: int, alone: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Refuse."""
        self._refuse()

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Refuse."""
        self._refuse()

    async def close(self) -> None:
        """End what runs in the cluster."""
        await in_daemon(self.cluster.close)

    def _refuse(self) -> NoReturn:
        raise InferenceError("the workers of a Ray cluster are asked for new photos only: leave --runner ray out")
