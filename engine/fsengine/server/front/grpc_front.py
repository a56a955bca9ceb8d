"""The gRPC port of an embedded server: TLS, the token, and requests handed on to Triton."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from typing import TYPE_CHECKING

from fsengine.errors import ServerError
from fsengine.server.front.forwarding import MOST_MESSAGE_BYTES, Forwarder
from fsengine.server.front.many_files import allow_many_files
from fsengine.server.listening import Listening
from fsengine.server.loopback import channel_options

if TYPE_CHECKING:
    from grpc import aio

START_TIMEOUT_S = 20.0
DRAIN_TIMEOUT_S = 30.0
"""How long requests in flight are waited for."""

_HANDSHAKE_TIMEOUT_MS = 10_000


class GrpcFront:
    """A gRPC server in a thread of its own."""

    def __init__(self, listening: Listening, triton: str) -> None:
        """Prepare.

        Args:
            listening: Where it listens and whom it answers; its port is named.
            triton: `host:port` of the server behind it.
        """
        self._listening = listening
        self._triton = triton
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told_to_stop = asyncio.Event()
        self._grace_s = 0.0
        self._thread = threading.Thread(target=self._run, name="grpc-front", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises:
            ServerError: It cannot.
        """
        allow_many_files()
        self._thread.start()
        self._started.result(START_TIMEOUT_S)

    def stop(self, *, drain: bool = False) -> None:
        """Take no more requests, and return when those in flight are answered or given up.

        Args:
            drain: Whether they are waited for, for 30 seconds at most.
        """
        if self._loop is None:
            return
        self._grace_s = DRAIN_TIMEOUT_S if drain else 0.0
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            self._loop.call_soon_threadsafe(self._told_to_stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            if self._started.done():
                raise
            self._started.set_exception(exc)

    async def _serve(self) -> None:
        from grpc import aio

        self._loop = asyncio.get_running_loop()
        host = self._listening.address
        options = [*(channel_options(self._triton) or ()), ("grpc.use_local_subchannel_pool", 1)]
        async with aio.insecure_channel(self._triton, options) as channel:
            forwarder = Forwarder(channel, self._listening.token)
            server = aio.server(
                options=[
                    ("grpc.so_reuseport", 0),
                    ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
                    ("grpc.max_send_message_length", -1),
                    ("grpc.server_handshake_timeout_ms", _HANDSHAKE_TIMEOUT_MS),
                ]
            )
            server.add_generic_rpc_handlers((forwarder,))
            try:
                self._add_port(server, f"{host}:{self._listening.grpc_port}")
            except RuntimeError as exc:
                raise ServerError(f"{host}:{self._listening.grpc_port} cannot be listened on: {exc}") from exc
            await server.start()
            self._started.set_result(None)
            await self._told_to_stop.wait()
            await server.stop(self._grace_s)
            if self._grace_s:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(forwarder.finish(), self._grace_s)

    def _add_port(self, server: aio.Server, address: str) -> None:
        import grpc

        tls = self._listening.tls
        if tls is None:
            server.add_insecure_port(address)
            return
        ca = None if tls.client_ca is None else tls.client_ca.read_bytes()
        credentials = grpc.ssl_server_credentials(
            [(tls.key.read_bytes(), tls.certificate.read_bytes())],
            root_certificates=ca,
            require_client_auth=ca is not None,
        )
        server.add_secure_port(address, credentials)
