"""A gateway in a process of its own: the command, or one with limits that tests can reach.

gRPC's asynchronous channels complain where two event loops of one process use them, and the suite has one.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import httpx

START_TIMEOUT_S = 90


@dataclass(frozen=True)
class GatewayProcess:
    """A gateway that runs.

    Attributes:
        url: Its address.
        process: It.
        log: File that holds what it wrote to stderr.
    """

    url: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client of it, which no proxy stands before."""
        # Without certificates, whose loading takes longer than most requests.
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **{"verify": False, **options})

    def exchange(self, sent: bytes, *, timeout_s: float = 10) -> bytes:
        """Send bytes as they are and return all that comes until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(sent)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    """Return what comes until the connection ends."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@contextmanager
def gateway_process(log: Path, *arguments: str) -> Iterator[GatewayProcess]:
    """Run the command on a free port."""
    program = "from fsclient.cli import main; main()"
    with _started([sys.executable, "-c", program, "gateway", "--port", "0", *arguments], log) as found:
        yield found


@contextmanager
def limited_gateway(log: Path, server: str, limits: dict[str, float]) -> Iterator[GatewayProcess]:
    """Run a gateway with limits of `GatewayLimits`."""
    with _started([sys.executable, __file__, server, json.dumps(limits)], log) as found:
        yield found


@contextmanager
def _started(command: Sequence[str], log: Path) -> Iterator[GatewayProcess]:
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=dict(os.environ))
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, log.read_text()
        yield GatewayProcess(url, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=60)
        finally:
            process.kill()


def main(server: str, limits_json: str) -> None:
    from fsclient.backend.server_choice import ServerChoice
    from fsgateway.app import make_app
    from fsgateway.gateway_limits import GatewayLimits
    from fsgateway.gateway_log import log_to_stderr
    from fsgateway.server_behind import ServerBehind
    from fsgateway.transport.serving import bind, http_server, serve_until_told, url_of

    log_to_stderr("json")
    limits = GatewayLimits(**json.loads(limits_json))
    listening = bind("127.0.0.1", 0)
    behind = ServerBehind(ServerChoice(server=server), request_timeout_s=limits.deadline_s, wait_when_busy_s=2)
    url = url_of(listening, "127.0.0.1", tls=False)
    app = make_app(behind, limits=limits, token=None)
    http = http_server(app, limits, tls=None, on_started=lambda: click.echo(url))
    asyncio.run(serve_until_told(http, listening, behind))


if __name__ == "__main__":
    main(*sys.argv[1:])
