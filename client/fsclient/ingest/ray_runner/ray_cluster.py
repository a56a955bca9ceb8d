"""The cluster of a run: connected to, checked, and furnished with what all workers share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from fsclient.backend.served_capacity import ServedCapacity
from fsclient.backend.server_choice import ServerChoice
from fsclient.backend.server_retries import RetryPolicy, ask_again
from fsclient.ingest.ray_runner.block_scorer import other_version_error, own_version
from fsclient.ingest.ray_runner.ray_errors import translated_ray_errors
from fsclient.ingest.ray_runner.ray_settings import RaySettings
from fsclient.ingest.ray_runner.stop_sign import StopSign
from fsclient.ingest.ray_runner.worker_servers import Servers
from fsengine.contracts.served import ServedEnsemble
from fsengine.errors import FaceStatsError, MissingDependencyError, ServerError, ServerUnavailableError
from fsengine.server.shared_memory import free_shared_memory

logger = logging.getLogger(__name__)

_CHECK_S = 120.0
"""How long the nodes may take to say which version of this package they have."""

_REACHED_S = 10.0
_STOP_S = 10.0

_MOST_WORKERS = 10_000
"""That wait for a sign at once."""

_LEAST_MEMORY, _MOST_MEMORY = 80 << 20, 2 << 30
"""Of a cluster of this machine alone, in bytes, for what passes through it."""

_BLOCK_BYTES = 8 << 20
"""Of photos that pass through the cluster's memory together, or one photo."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
}


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
        self._is_ours = False
        self._node_servers: dict[str, Any] = {}
        self._closing = threading.Event()
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
        _import_ray()
        import ray

        if not ray.is_initialized():
            self._connect_for_good()
            self._is_ours = True
        self._is_open = True
        try:
            with translated_ray_errors():
                self._check_versions()
                self.furnish()
        except BaseException:
            self.close()
            raise

    def _connect_for_good(self) -> None:
        """Connect in a thread that lives until `close`: the kernel ends Ray's processes with the thread that began."""
        connected: Future[None] = Future()

        def live() -> None:
            try:
                self._connect()
            except BaseException as exc:
                connected.set_exception(exc)
                return
            connected.set_result(None)
            self._closing.wait()

        self._closing.clear()
        threading.Thread(target=live, name="facestats-ray", daemon=True).start()
        connected.result()

    def _connect(self) -> None:
        import ray

        address = self.settings.asked_address
        _check_reached(address)
        own: dict[str, Any] = {}
        if address == "local":
            # The embedded server needs the rest of /dev/shm.
            memory = min(max(free_shared_memory() // 4, _LEAST_MEMORY), _MOST_MEMORY)
            own = {"include_dashboard": False, "object_store_memory": memory}
        try:
            with _silent():
                ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
        except (ConnectionError, RuntimeError, ValueError, OSError, AssertionError, SystemExit) as exc:
            if address == "local":
                raise ServerError(f"no Ray cluster can be started on this machine: {exc}") from exc
            raise ServerUnavailableError(
                f"no Ray cluster can be had at {address} ({type(exc).__name__}: {exc}); start fsclient on a node of "
                "the cluster, with the same versions of Python and Ray"
            ) from exc
        # Whatever else `log_to_driver` is, Ray prints what becomes of its workers and nodes to stdout.
        ray._private.worker._worker_logs_enabled = False

    def is_reached(self) -> bool:
        """Return whether its head answers."""
        import ray

        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_S).close()
        except OSError:
            return False
        return True

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

    def furnish(self) -> None:
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
        if self._is_ours:
            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True
        self._closing.set()

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


def _check_reached(address: str) -> None:
    """Check that something listens at an address: Ray tries for two minutes, and then ends the process.

    Raises:
        ServerUnavailableError: Nothing does.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_S).close()
    except OSError as exc:
        raise ServerUnavailableError(f"no Ray cluster can be reached at {address}: {exc}; is its head there?") from exc


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Drop what goes to stderr: Ray's native code says there that it was told to say nothing."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _import_ray() -> None:
    """Import Ray, made quiet.

    Raises:
        MissingDependencyError: It is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as exc:
        raise MissingDependencyError(f"--runner ray needs {exc.name}: pip install 'facestats[ray]'") from exc
    from ray.util.annotations import RayDeprecationWarning

    warnings.filterwarnings("ignore", category=RayDeprecationWarning)
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = _BLOCK_BYTES
