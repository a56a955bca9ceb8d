"""One embedded server on each node of a cluster, started once for all workers there; it ends with the run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError

from fsclient.backend.address import NO_ACCESS
from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.served_capacity import ServedCapacity
from fsclient.backend.server_choice import OpenServer, ServerChoice, open_server
from fsclient.backend.triton import TritonBackend
from fsclient.ingest.ray_runner.worker_servers import Connected
from fsengine.contracts.served import ServedEnsemble, ServedHead
from fsengine.errors import FaceStatsError, ServerBusyError, ServerUnavailableError
from fsengine.server.listening import Listening

logger = logging.getLogger(__name__)

T = TypeVar("T")

_APPEARS_S = 60.0
"""How long a worker waits for the server's actor of a node that is new."""

_START_S = 900.0
"""How long it waits for the server: its models may have to be built first."""

_ASKED_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddress:
    """Where a node's server is.

    Attributes:
        url: `host:port` on the node's loopback.
        photos_in_flight: The most photos that it has room for.
    """

    url: str
    photos_in_flight: int | None


class NodeServer:
    """The actor that holds the server of its node."""

    def __init__(self, choice: ServerChoice) -> None:
        """Prepare; the server starts when it is first asked for.

        Args:
            choice: What it serves, and where.
        """
        self._choice = choice
        self._stack = ExitStack()
        self._server: OpenServer | None = None

    def address(self) -> NodeAddress | FaceStatsError:
        """Return where the server is, which is started where it is not or died; or why there is none."""
        try:
            server = self._server
            if server is None or (server.embedded is not None and not server.embedded.alive()):
                self.stop()
                # Workers may be killed, and without its front Triton 2.51 can die of that.
                self._server = server = self._stack.enter_context(
                    open_server(self._choice, logger.info, listening=Listening())
                )
            return NodeAddress(url=server.url, photos_in_flight=server.photos_in_flight)
        except FaceStatsError as exc:
            return exc

    def stop(self) -> None:
        """Stop the server."""
        self._server = None
        self._stack.close()


def actor_name(run: str, node: str) -> str:
    """Return what the actor of a run on a node is called."""
    return f"facestats-{run}-{node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeServers:
    """The servers of the nodes: each worker asks that of its own.

    Attributes:
        run: Tells this run's from others.
        request_timeout_s: The longest wait for one photo.
    """

    run: str
    request_timeout_s: float

    def connect(self) -> Connected:
        """Return the server of this node."""
        address = self.find()
        backend = NodeBackend(self.find, address, request_timeout_s=self.request_timeout_s)
        return Connected(backend=backend, photos_in_flight=address.photos_in_flight)

    def find(self) -> NodeAddress:
        """Return where the server of this node is, once it is ready.

        Raises:
            ServerUnavailableError: There is none, or its actor was lost.
            FaceStatsError: It cannot be started.
        """
        node = ray.get_runtime_context().get_node_id()
        try:
            address: NodeAddress | FaceStatsError = ray.get(self._actor(node).address.remote(), timeout=_START_S)
        except RayError as exc:
            raise ServerUnavailableError(f"the embedded server of node {node} is lost; try again") from exc
        if isinstance(address, FaceStatsError):
            raise address
        return address

    def _actor(self, node: str) -> Any:
        deadline = time.monotonic() + _APPEARS_S
        while True:
            try:
                return ray.get_actor(actor_name(self.run, node))
            except ValueError as exc:
                if time.monotonic() > deadline:
                    raise ServerUnavailableError(f"node {node} has no embedded server; try again") from exc
            time.sleep(_ASKED_AGAIN_S)


class NodeBackend:
    """The server of a node; where it was lost, it is looked for before it is asked again."""

    connect_again = None

    def __init__(self, find: Callable[[], NodeAddress], address: NodeAddress, *, request_timeout_s: float) -> None:
        """Prepare; nothing is sent yet.

        Args:
            find: Returns where it is, once it is ready; called in a thread.
            address: Where it is at first.
            request_timeout_s: The longest wait for one photo.
        """
        self._find = find
        self._request_timeout_s = request_timeout_s
        self._url = address.url
        self._backend = self._to(address.url)
        self._is_lost = False
        self._looking = asyncio.Lock()

    @property
    def isolates(self) -> bool:
        """Return whether it can decode a photo alone; see `InferenceBackend.isolates`."""
        return self._backend.isolates

    @property
    def capacity(self) -> ServedCapacity:
        """Return how much it can take; see `InferenceBackend.capacity`."""
        return self._backend.capacity

    async def served(self) -> ServedEnsemble:
        """Return what it serves; see `InferenceBackend.served`."""
        return await self._ask(lambda backend: backend.served())

    async def infer(
        self, data: bytes, outputs: Sequence[str], *, orientation: int, alone: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Score one photo; see `InferenceBackend.infer`."""
        return await self._ask(lambda backend: backend.infer(data, outputs, orientation=orientation, alone=alone))

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Run one head on embeddings; see `InferenceBackend.infer_head`."""
        return await self._ask(lambda backend: backend.infer_head(head, embeddings))

    async def close(self) -> None:
        """Close the channel."""
        await self._backend.close()

    async def _ask(self, ask: Callable[[InferenceBackend], Awaitable[T]]) -> T:
        async with self._looking:
            if self._is_lost:
                await self._look()
        backend = self._backend
        try:
            return await ask(backend)
        except ServerBusyError:
            raise
        except ServerUnavailableError:
            self._is_lost = self._is_lost or backend is self._backend
            raise

    async def _look(self) -> None:
        address = await asyncio.to_thread(self._find)
        self._is_lost = False
        if address.url != self._url:
            lost, self._url, self._backend = self._backend, address.url, self._to(address.url)
            await lost.close()
            await self._backend.served()  # which learns what it can take

    def _to(self, url: str) -> TritonBackend:
        return TritonBackend(url, access=NO_ACCESS, request_timeout_s=self._request_timeout_s)
