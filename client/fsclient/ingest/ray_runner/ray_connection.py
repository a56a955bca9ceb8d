"""The way to a Ray cluster, or to one of this machine alone: imported quietly, connected to, and left."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from fsengine.errors import MissingDependencyError, ServerError, ServerUnavailableError
from fsengine.server.shared_memory import free_shared_memory

_REACHED_S = 10.0

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


class RayConnection:
    """A connection that this process made, from its beginning to `close`.

    A thread makes it that lives until then: the kernel ends Ray's processes with the thread that began them.
    """

    def __init__(self, address: str) -> None:
        """Connect; blocks.

        Args:
            address: See `RaySettings.asked_address`.

        Raises:
            ServerError: No cluster can be started on this machine.
            ServerUnavailableError: The cluster cannot be reached.
        """
        self._closing = threading.Event()
        connected: Future[None] = Future()

        def live() -> None:
            try:
                _connect(address)
            except BaseException as exc:  # noqa: BLE001 - whoever waits gets it
                connected.set_exception(exc)
                return
            connected.set_result(None)
            self._closing.wait()

        threading.Thread(target=live, name="facestats-ray", daemon=True).start()
        connected.result()

    def close(self) -> None:
        """Leave the cluster; one of this machine alone ends."""
        import ray

        ray.shutdown()
        ray._private.worker._worker_logs_enabled = True
        self._closing.set()


def _connect(address: str) -> None:
    import ray

    if address != "local":
        _check_reached(address)
    own: dict[str, Any] = {}
    if address == "local":
        # The embedded server needs the rest of /dev/shm.
        memory = min(max(free_shared_memory() // 4, _LEAST_MEMORY), _MOST_MEMORY)
        own = {"include_dashboard": False, "object_store_memory": memory}
    try:
        with _silent():
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except (Exception, SystemExit) as exc:
        if address == "local":
            raise ServerError(f"no Ray cluster can be started on this machine: {exc}") from exc
        raise ServerUnavailableError(
            f"no Ray cluster can be had at {address} ({type(exc).__name__}: {exc}); start fsclient on a node of "
            "the cluster, with the same versions of Python and Ray"
        ) from exc
    # Whatever else `log_to_driver` is, Ray prints what becomes of its workers and nodes to stdout.
    ray._private.worker._worker_logs_enabled = False


def _check_reached(address: str) -> None:
    """Check that something listens at an address: Ray tries for two minutes, and then ends the process.

    Raises:
        ServerUnavailableError: Nothing does.
    """
    if address.rpartition(":")[2].isdecimal() and (why := _why_not_reached(address)) is not None:
        raise ServerUnavailableError(f"no Ray cluster can be reached at {address}: {why}; is its head there?") from why


def head_answers() -> bool:
    """Return whether the head of the cluster that this process is connected to answers."""
    import ray

    return _why_not_reached(ray.get_runtime_context().gcs_address) is None


def _why_not_reached(address: str) -> OSError | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_S).close()
    except OSError as exc:
        return exc
    return None


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


def import_ray() -> None:
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
