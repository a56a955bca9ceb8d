"""`fsengine start` as a process of its own: started on free ports, with a log, and ended."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsengine.server.listening import LOOPBACK, free_port

FSENGINE = [sys.executable, "-c", "from fsengine.cli import main; main(prog_name='fsengine')"]

TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedEngine:
    """What runs.

    Attributes:
        process: Its first process, which becomes or minds the server.
        http_port: Of HTTP, on the loopback interface, as the next two.
        grpc_port: Of gRPC.
        metrics_port: Of the metrics.
        log: What it says, stdout and stderr.
    """

    process: subprocess.Popen[bytes]
    http_port: int
    grpc_port: int
    metrics_port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it is asked over HTTP."""
        return f"http://{LOOPBACK}:{self.http_port}"

    def wait_for(self, there: Callable[[], object], *, ended: bool = False) -> None:
        """Wait until something is there; fails with the log where the process ends before it, or time does.

        Args:
            there: Says whether it is.
            ended: Whether the process may have ended.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while not there():
            assert ended or self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def said(self, pattern: str) -> bool:
        """Say whether a line of its log matches."""
        return re.search(pattern, self.log.read_text()) is not None

    def metrics(self) -> str:
        """Return what its metrics are."""
        address = f"http://{LOOPBACK}:{self.metrics_port}/metrics"
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            text: str = answer.read().decode()
        return text

    def end(self) -> int:
        """Tell it to end, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)


@contextlib.contextmanager
def started_engine(
    folder: Path, environment: dict[str, str], options: Sequence[str], server_options: Sequence[str] = ()
) -> Iterator[StartedEngine]:
    """Start it, and end it.

    Args:
        folder: Where its log is to lie.
        environment: Of its process.
        options: Of `fsengine start`, but for ports.
        server_options: Of the server that it starts.
    """
    ports = [free_port(LOOPBACK) for _ in range(3)]
    command = [*FSENGINE, "start", *options]
    for name, port in zip(("--http-port", "--grpc-port", "--metrics-port"), ports, strict=True):
        command += [name, str(port)]
    log = folder / f"log-{ports[0]}"
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--", *server_options], stdout=out, stderr=out, env=environment)
    started = StartedEngine(process=process, http_port=ports[0], grpc_port=ports[1], metrics_port=ports[2], log=log)
    try:
        yield started
    finally:
        try:
            started.end()
        finally:
            process.kill()
            process.wait()
