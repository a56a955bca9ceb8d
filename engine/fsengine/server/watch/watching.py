"""What is watched of an embedded server: whether it is ready, will never be, or goes on without one of its steps."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fsengine.server.listening import LOOPBACK, Listening
from fsengine.server.loopback import channel_options
from fsengine.server.supervisor import PID_FILE
from fsengine.server.surroundings import RunFolder
from fsengine.server.watch import start_log

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient

logger = logging.getLogger(__name__)

LOOKED_AT_S = 0.5
"""How often a server's processes are looked at."""


class ReadyProbe:
    """Asks a server that starts whether it is ready, with the little that a token leaves open to everybody."""

    def __init__(self, listening: Listening) -> None:
        self._address = f"{LOOPBACK}:{listening.grpc_port}"
        ports = (listening.grpc_port, listening.http_port, listening.metrics_port)
        self._ports = [port for port in ports if port is not None]
        self._client: InferenceServerClient | None = None

    def is_ready(self) -> bool:
        """Return whether it answers on each of its ports; it opens them when every model is loaded."""
        return all(map(_listens, self._ports)) and self._says_ready()

    def _says_ready(self) -> bool:
        from tritonclient.grpc import InferenceServerClient
        from tritonclient.utils import InferenceServerException

        # A gRPC channel that once failed waits a second before it tries again: it is made when something listens.
        if self._client is None:
            self._client = InferenceServerClient(self._address, channel_args=channel_options(self._address))
        try:
            return bool(self._client.is_server_ready(client_timeout=5.0))
        except InferenceServerException:
            logger.debug("not ready yet", exc_info=True)
            return False

    def close(self) -> None:
        """Close the channel."""
        if self._client is not None:
            self._client.close()


class DeadSteps:
    """Sees that processes which a server's steps run in have ended."""

    def __init__(self) -> None:
        self._dead: set[int] = set()

    def found(self, run: RunFolder | None) -> bool:
        """Return whether one is dead that was dead when it was asked before, so that Triton has not looked after it."""
        pid = None if run is None else server_pid(run)
        before, self._dead = self._dead, set() if pid is None else start_log.dead_children(pid)
        return bool(before & self._dead)


class StartWatch:
    """Sees in a log, and among a server's processes, that it will not become ready."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._looked_at = time.monotonic()
        self._size = 0
        self._steps = DeadSteps()

    def has_failed(self, run: RunFolder | None) -> bool:
        """Return whether a model cannot be served, or a stub ended before it spoke; looks twice a second."""
        now = time.monotonic()
        if now - self._looked_at < LOOKED_AT_S:
            return False
        self._looked_at = now
        log = self._log_path.read_text(errors="replace")
        if start_log.is_fatal(log):
            return True
        # Triton tells within half a second of a stub that could speak: one that stays dead in silence could not.
        failed = self._steps.found(run) and len(log) == self._size
        self._size = len(log)
        return failed


def server_pid(run: RunFolder) -> int | None:
    """Return the process of a run folder's server, None before it is known."""
    try:
        return int((run.root / PID_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return None


def _listens(port: int) -> bool:
    """Return whether something accepts connections on a port of loopback."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False
