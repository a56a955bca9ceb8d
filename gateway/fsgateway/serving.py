"""The HTTP server: its socket, TLS, patience with callers, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from fsengine.errors import InvalidInputError
from fsgateway.gateway_limits import GatewayLimits
from fsgateway.server_behind import ServerBehind

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


def check_tls(cert: Path, key: Path) -> None:
    """Check that a certificate and its key can be used.

    Raises:
        InvalidInputError: They cannot.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (OSError, ssl.SSLError) as exc:
        raise InvalidInputError(
            f"{cert} and {key} cannot be used: {exc}; expected a certificate chain and its key, in PEM, no password"
        ) from exc


def http_server(
    app: FastAPI, limits: GatewayLimits, *, tls: tuple[Path, Path] | None, on_started: Callable[[], None]
) -> uvicorn.Server:
    """Return the server of an application.

    Args:
        app: It.
        limits: What callers may ask.
        tls: Certificate chain and key; None for plain HTTP.
        on_started: Called once it answers.
    """
    config = uvicorn.Config(
        app,
        http=type("_Protocol", (_PatientProtocol,), {"limits": limits}),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=int(limits.drain_s),
        h11_max_incomplete_event_size=_LONGEST_HEAD_BYTES,
        ssl_certfile=None if tls is None else tls[0],
        ssl_keyfile=None if tls is None else str(tls[1]),
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
    while behind.is_alive:
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


class _PatientProtocol(H11Protocol):
    """Closes connections of callers that take too long to send the head of a request, or to read an answer.

    uvicorn waits for both without end, and its other time limits are about connections between two requests.
    """

    limits: GatewayLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.limits.header_s, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading_timer = self.loop.call_later(self.limits.reading_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading_timer is not None:
            self._reading_timer.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._head_timer, self._reading_timer):
            if timer is not None:
                timer.cancel()

    def _watch_head(self) -> None:
        """Let the timer run while the head of a request is there in part."""
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if begun and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.header_s, self.transport.abort)
        elif not begun and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
