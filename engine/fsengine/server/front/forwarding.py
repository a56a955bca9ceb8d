"""One request after the other handed on to Triton, whatever its caller does meanwhile.

Triton 2.51 can die of a caller that leaves: it may free what it knows of a cancelled request while the models still
work on it (triton-inference-server/server#7368, mended in 2.53 by #7840). So a request that was handed on is always
waited for, and the answer of one that was given up is dropped.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import hmac
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from fsengine.contracts.preprocessing import MAX_PHOTO_FILE_BYTES
from fsengine.server.listening import TOKEN_HEADER

if TYPE_CHECKING:
    import grpc
    from grpc import aio

T = TypeVar("T")

MOST_MESSAGE_BYTES = MAX_PHOTO_FILE_BYTES + (1 << 20)
"""Of a request: the largest photo, and the rest of its message."""

MOST_IN_FLIGHT = 256
"""Requests that are read or answered at once; Triton's queues refuse what is beyond theirs."""

MOST_BYTES_IN_FLIGHT = MOST_MESSAGE_BYTES
"""Of all requests that Triton has at once: it copies each into shared memory that it does not give back."""

LARGE_BYTES = 32 << 20
"""Of a request after which memory is given back to the system: gRPC reads into thousands of small blocks, which the C
library keeps otherwise."""
_COLLECTED_AFTER_S = 2.0

READ_TIMEOUT_S = 60.0
"""How long a request may take to arrive."""

ANSWER_TIMEOUT_S = 600.0
"""After which a request is given up although that may cost the server: far beyond the timeouts of Triton's queues."""

_SERVICE = "/inference.GRPCInferenceService/"
_OPEN = frozenset(
    {f"{_SERVICE}{name}" for name in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata")}
    | {f"{_SERVICE}ModelConfig", "/grpc.health.v1.Health/Check"}
)
"""What everybody may ask. The rest wants the token where there is one; what Triton closes stays closed behind it."""
_STREAM = f"{_SERVICE}ModelStreamInfer"

_RESTRICTED = f"This protocol is restricted, expecting header '{TOKEN_HEADER}'"
_BUSY = "Exceeds maximum queue size"
"""Triton's own words, which callers know: ask again later."""


@dataclass(slots=True)
class InFlight:
    """What Triton has to do, counted."""

    requests: int = 0
    num_bytes: int = 0

    def has_room_for(self, request: bytes) -> bool:
        """Return whether the bytes of a request are not too many beside those of the others."""
        return self.num_bytes + len(request) <= MOST_BYTES_IN_FLIGHT


class Forwarder:
    """The handler of every method of a gRPC server that hands requests on as the bytes that they are."""

    def __init__(self, channel: aio.Channel, token: str | None) -> None:
        """Hold the channel.

        Args:
            channel: To Triton.
            token: What callers have to show; None for nothing.
        """
        self._channel = channel
        self._token = token
        self._metadata = None if token is None else ((TOKEN_HEADER, token),)
        self._in_flight = InFlight()
        self._num_reading = 0
        self._had_large = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the handler of a call, before anything of its message is read."""
        import grpc

        method = details.method
        if method not in _OPEN and not self._shows_token(details):
            return grpc.stream_stream_rpc_method_handler(_refuse)
        if method == _STREAM:
            return grpc.stream_stream_rpc_method_handler(self._forward_stream)

        # As a stream, so that its one message is read when there is room for it.
        async def forward(_: object, context: aio.ServicerContext[bytes, bytes]) -> None:
            try:
                await self._forward(method, context)
            finally:
                if self._had_large:
                    self._had_large = False
                    asyncio.get_running_loop().call_later(_COLLECTED_AFTER_S, _give_memory_back)

        return grpc.stream_stream_rpc_method_handler(forward)

    async def finish(self) -> None:
        """Wait for the answers of requests whose callers have left."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _shows_token(self, details: grpc.HandlerCallDetails) -> bool:
        if self._token is None:
            return True
        shown = [value for key, value in details.invocation_metadata or () if key == TOKEN_HEADER]
        return len(shown) == 1 and hmac.compare_digest(str(shown[0]).encode(), self._token.encode())

    async def _forward(self, method: str, context: aio.ServicerContext[bytes, bytes]) -> None:
        """Hand one request on, and its answer back."""
        import grpc

        if method not in _OPEN and self._in_flight.requests + self._num_reading >= MOST_IN_FLIGHT:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"{_BUSY}: {MOST_IN_FLIGHT} requests in flight")
        self._num_reading += 1
        try:
            request = await asyncio.wait_for(context.read(), READ_TIMEOUT_S)
        except asyncio.TimeoutError:
            await context.abort(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"the request did not arrive in {READ_TIMEOUT_S:.0f} s"
            )
        finally:
            self._num_reading -= 1
        if not isinstance(request, bytes):  # gRPC's mark for the end
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call holds no message, expected one")
        self._had_large = self._had_large or len(request) > LARGE_BYTES
        if not self._in_flight.has_room_for(request):
            del request  # what is raised from here on holds on to this frame
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"{_BUSY}: large photos are in flight")
        call = self._channel.unary_unary(method)
        refused: tuple[grpc.StatusCode, str] | None = None
        try:
            answer = await self._kept(request, call(request, metadata=self._metadata, timeout=ANSWER_TIMEOUT_S))
        except grpc.aio.AioRpcError as exc:
            refused = exc.code(), exc.details() or ""
        del request
        if refused is not None:
            await context.abort(*refused)
        await context.write(answer)

    async def _forward_stream(self, _: object, context: aio.ServicerContext[bytes, bytes]) -> None:
        """Hand on a stream of requests, each answered before the next is read."""
        import grpc

        stream = self._channel.stream_stream(_STREAM)(metadata=self._metadata)
        try:
            while isinstance(request := await context.read(), bytes):
                if not self._in_flight.has_room_for(request):
                    await context.abort(grpc.StatusCode.UNAVAILABLE, f"{_BUSY}: large photos are in flight")
                answer = await self._kept(request, _round(stream, request))
                if not isinstance(answer, bytes):
                    break
                await context.write(answer)
        except grpc.aio.AioRpcError as exc:
            await context.abort(exc.code(), exc.details() or "")
        finally:
            self._keep(_closed(stream))

    async def _kept(self, request: bytes, answer: Awaitable[T]) -> T:
        """Wait for an answer; the request counts until it is there, even where nobody waits any more."""
        self._in_flight.requests += 1
        self._in_flight.num_bytes += len(request)

        async def counted() -> T:
            try:
                return await answer
            finally:
                self._in_flight.requests -= 1
                self._in_flight.num_bytes -= len(request)

        return await asyncio.shield(self._keep(counted()))

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return work as a task that is finished whether somebody waits for it or not."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nothing is logged of one that nobody waits for


def _give_memory_back() -> None:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


async def _refuse(_: object, context: aio.ServicerContext[bytes, bytes]) -> None:
    import grpc

    await context.abort(grpc.StatusCode.UNAVAILABLE, _RESTRICTED)


async def _round(stream: aio.StreamStreamCall[bytes, bytes], request: bytes) -> object:
    await stream.write(request)
    return await stream.read()


async def _closed(stream: aio.StreamStreamCall[bytes, bytes]) -> None:
    """End a stream as its caller would who has all answers."""
    await stream.done_writing()
    while isinstance(await stream.read(), bytes):
        pass
