"""The cluster of a run: connected to, checked, and given what all workers share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from dataclasses import dataclass
from typing import Any

from fsclient.backend.served_capacity import ServedCapacity
from fsclient.backend.server_choice import ServerChoice
from fsclient.backend.server_retries import RetryPolicy, ask_again
from fsclient.ingest.ray_runner.block_scorer import other_version_error, own_version
from fsclient.ingest.ray_runner.ray_connection import RayConnection, head_answers, import_ray
from fsclient.ingest.ray_runner.ray_errors import translated_ray_errors
from fsclient.ingest.ray_runner.ray_settings import RaySettings
from fsclient.ingest.ray_runner.stop_sign import StopSign
from fsclient.ingest.ray_runner.worker_servers import Servers
from fsengine.contracts.served import ServedEnsemble
from fsengine.errors import FaceStatsError

logger = logging.getLogger(__name__)

_CHECK_S = 120.0
"""How long the nodes may take to say which version of this package they have."""

_STOP_S = 10.0

_MOST_WORKERS = 10_000
"""That wait for a sign at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedByWorker:
    """What a worker's server says of itself.

    Attributes:
        served: What it serves.
        capacity: How much it can take.
        isolates: Whether it can decode a photo alone.
        photos_in_flight: The most photos that it has room for; None where it is not known.
    """

    served: ServedEnsemble
    capacity: ServedCapacity
    isolates: bool
    photos_in_flight: int | None


class RayCluster:
    """The cluster of a run, from `open` to `close`; its methods block.

    Attributes:
        settings: Which one.
    """

    def __init__(self, settings: RaySettings) -> None:
        """Prepare; nothing is started yet."""
        self.settings = settings
        self._run = secrets.token_hex(8)
        self._is_open = False
        self._connection: RayConnection | None = None
        self._node_servers: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def servers(self) -> Servers:
        """Return whom the workers ask."""
        servers = self.settings.servers
        if not isinstance(servers, ServerChoice):
            return servers
        from fsclient.ingest.ray_runner.node_server import NodeServers

        return NodeServers(run=self._run, request_timeout_s=self.settings.request_timeout_s)

    @property
    def is_open(self) -> bool:
        """Return whether it is open."""
        return self._is_open

    def open(self) -> None:
        """Connect; where it is open already, do nothing.

        Raises:
            MissingDependencyError: Ray is not installed.
            ServerUnavailableError: The cluster cannot be reached.
            FaceStatsError: A node has another version of this package, or none.
        """
        if self._is_open:
            return
        import_ray()
        import ray

        if not ray.is_initialized():
            self._connection = RayConnection(self.settings.asked_address)
        self._is_open = True
        try:
            with translated_ray_errors():
                self._check_versions()
                self.start_node_servers()
        except BaseException:
            self.close()
            raise

    def is_reached(self) -> bool:
        """Return whether its head answers."""
        return head_answers()

    def leave(self) -> None:
        """Do nothing more with a cluster that was lost, where every call would wait."""
        self._is_open = False

    def nodes(self) -> list[str]:
        """Return the nodes that do work."""
        import ray

        choice = self.settings.servers
        wanted = "GPU" if isinstance(choice, ServerChoice) and choice.gpu else "CPU"
        known: Any = ray.nodes
        alive = [node for node in known() if node["Alive"]]
        working = [node["NodeID"] for node in alive if node["Resources"].get(wanted, 0) > 0]
        return sorted(working or [node["NodeID"] for node in alive])

    def start_node_servers(self) -> None:
        """Have a server started on each node that has none yet."""
        choice = self.settings.servers
        if not isinstance(choice, ServerChoice):
            return
        import ray

        from fsclient.ingest.ray_runner.node_server import NodeServer, actor_name

        with self._lock:
            nodes = self.nodes()
            for node in nodes:
                if node not in self._node_servers:
                    server: Any = (
                        ray.remote(NodeServer)
                        .options(
                            name=actor_name(self._run, node),
                            num_cpus=0,
                            num_gpus=1 if choice.gpu else 0,
                            max_restarts=-1,
                            scheduling_strategy=_on(node),
                        )
                        .remote(choice)
                    )
                    server.address.remote()
                    self._node_servers[node] = server

    def ask_served(self, retry: RetryPolicy) -> ServedByWorker:
        """Return what the server of a worker serves.

        Raises:
            FaceStatsError: There is none, or none of them can be reached.
        """
        import ray

        task = ray.remote(_served_by).options(num_cpus=0, scheduling_strategy=_on(self.nodes()[0], soft=True))
        with translated_ray_errors():
            answer: ServedByWorker | FaceStatsError = ray.get(task.remote(self.servers, retry))
        if isinstance(answer, FaceStatsError):
            raise answer
        return answer

    def new_sign(self) -> Any:
        """Return an actor that is a `StopSign`."""
        import ray

        return ray.remote(StopSign).options(num_cpus=0, max_restarts=-1, max_concurrency=_MOST_WORKERS).remote()

    def close(self) -> None:
        """End what was started; the cluster itself ends where this process started it."""
        if not self._is_open:
            return
        self._is_open = False
        import ray
        from ray.exceptions import RayError

        with contextlib.suppress(RayError, ConnectionError):
            stopped = [server.stop.remote() for server in self._node_servers.values()]
            ray.wait(stopped, num_returns=len(stopped), timeout=_STOP_S) if stopped else None
        for server in self._node_servers.values():
            with contextlib.suppress(RayError, ConnectionError, ValueError):
                ray.kill(server)
        self._node_servers.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _check_versions(self) -> None:
        """Check that every node has this package.

        Raises:
            FaceStatsError: One has another version, or none.
        """
        import ray
        from ray.exceptions import RayError

        def found() -> tuple[str, str | None]:  # goes to the nodes as code, as they may lack this package
            import importlib.metadata
            import platform

            try:
                return platform.node(), importlib.metadata.version("facestats")
            except importlib.metadata.PackageNotFoundError:
                return platform.node(), None

        ask = ray.remote(found)
        asked = [ask.options(num_cpus=0, scheduling_strategy=_on(node)).remote() for node in self.nodes()]
        own = own_version()
        for answer in asked:
            try:
                node, version = ray.get(answer, timeout=_CHECK_S)
            except RayError as exc:  # it has left meanwhile; workers check their own again
                logger.info("a node of the Ray cluster did not say which facestats it has: %s", exc)
                continue
            if version != own:
                raise other_version_error(node, version or "not installed", own)


def _served_by(servers: Servers, retry: RetryPolicy) -> ServedByWorker | FaceStatsError:
    """Return what a worker's server serves; runs on a node."""

    async def ask() -> ServedByWorker:
        connected = await asyncio.to_thread(servers.connect)
        backend = connected.backend
        try:
            served = await ask_again(lambda _: backend.served(), retry)
            return ServedByWorker(
                served=served,
                capacity=backend.capacity,
                isolates=backend.isolates,
                photos_in_flight=connected.photos_in_flight,
            )
        finally:
            await backend.close()

    try:
        return asyncio.run(ask())
    except FaceStatsError as exc:
        return exc


def _on(node: str, *, soft: bool = False) -> Any:
    """Return what places a task or an actor on a node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=soft)
