"""The HTTP server: its socket, TLS, patience with callers, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from fsengine.errors import InvalidInputError
from fsengine.server.access.tls import ServerTls
from fsgateway.gateway_limits import GatewayLimits
from fsgateway.server_behind import ServerBehind
from fsgateway.transport.patient_protocol import patient_protocol

_LONGEST_HEAD_BYTES = 32 << 10
_BACKLOG = 512
_ALIVE_LOOK_S = 0.5


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        InvalidInputError: There is no such address, or it is taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as exc:
        raise InvalidInputError(f"cannot listen on {host} port {port}: {exc}; give another --host or --port") from exc


def url_of(listening: socket.socket, host: str, *, tls: bool) -> str:
    """Return the address of a gateway, with the port that it got."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{listening.getsockname()[1]}"


def http_server(
    app: FastAPI, limits: GatewayLimits, *, tls: ServerTls | None, on_started: Callable[[], None]
) -> uvicorn.Server:
    """Return the server of an application.

    Args:
        app: It.
        limits: What callers may ask.
        tls: What it shows of itself; None for plain HTTP.
        on_started: Called once it answers.
    """
    config = uvicorn.Config(
        app,
        http=patient_protocol(limits),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=int(limits.drain_s),
        h11_max_incomplete_event_size=_LONGEST_HEAD_BYTES,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else str(tls.key),
    )
    return _Server(config, on_started)


async def serve_until_told(server: uvicorn.Server, listening: socket.socket, behind: ServerBehind) -> bool:
    """Answer requests until a signal, or until the embedded server behind dies.

    Args:
        server: As `http_server` makes it.
        listening: Its socket.
        behind: Opened, watched and closed here.

    Returns:
        Whether the server behind was alive to the end.

    Raises:
        FaceStatsError: The server behind cannot be used.
    """
    await behind.open()
    watching = [asyncio.create_task(behind.watch()), asyncio.create_task(_end_with(server, behind))]
    try:
        await server.serve(sockets=[listening])
        return behind.is_alive
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await behind.close()


async def _end_with(server: uvicorn.Server, behind: ServerBehind) -> None:
    while behind.is_alive:  # noqa: ASYNC110 - it is another process that ends
        await asyncio.sleep(_ALIVE_LOOK_S)
    server.should_exit = True


class _Server(uvicorn.Server):
    """Says when it answers, and ends like any function after a signal; uvicorn would send the signal again."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
