"""A proxy before an S3 server that fails on purpose: what a client of a real object store sees on a bad day.

A rule says for each request whether it gets a fault; see `store_faults` for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from store_faults import (
    Answer,
    Cut,
    Delay,
    Fault,
    Hang,
    InsufficientStorage,
    LostAnswer,
    Refuse,
    Rule,
    Stall,
    no_faults,
)

READ_BYTES = 65536
MOST_HEADER_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 10
# What belongs to one connection, and is written anew for the next.
OF_THE_CONNECTION = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"expect", b"te"}
LOST = (OSError, EOFError, asyncio.TimeoutError)


@dataclass
class ProxiedRequest:
    """A request that came.

    Attributes:
        number: Its place among all requests; the first is 1.
        method: Such as "GET".
        path: With its query, as it was sent.
        headers: By name in lower case.
        fault: What was done to it.
        status: Status of the answer; 0 where none was sent.
        received_bytes: How much of the request's body came.
        answered_bytes: How much of the answer's body was sent.
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    fault: Fault | None
    status: int = 0
    received_bytes: int = 0
    answered_bytes: int = 0


@dataclass
class FaultyProxy:
    """A running proxy.

    Attributes:
        upstream: Address of the server behind it.
        rule: What decides on faults. It may be replaced at any time, and is called by one thread only.
        port: Its port of 127.0.0.1.
        most_at_once: The most requests that were under way at one time.
        errors: What broke in the proxy or in a rule, which ends the test.
    """

    upstream: str
    rule: Rule = no_faults
    port: int = 0
    most_at_once: int = 0
    errors: list[Exception] = field(default_factory=list)
    _seen: list[ProxiedRequest] = field(default_factory=list)
    _at_once: int = 0
    _count: int = 0
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests(self, method: str = "", containing: str = "") -> list[ProxiedRequest]:
        """Return the requests that came so far, or those of a method, or with a text in their path."""
        return [seen for seen in list(self._seen) if method in ("", seen.method) and containing in seen.path]

    def forget(self) -> None:
        """Begin the record anew; the numbers that the rule gets begin anew with it."""
        self._seen.clear()
        self._count = self.most_at_once = 0

    async def serve(self, stop: asyncio.Event, started: Callable[[], None]) -> None:
        """Serve until told to stop."""
        server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, backlog=512, limit=MOST_HEADER_BYTES
        )
        self.port = server.sockets[0].getsockname()[1]
        started()
        await stop.wait()
        server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._request(reader, writer):
                pass
            writer.close()
        except LOST:
            writer.transport.abort()
        except asyncio.CancelledError:
            # The proxy ends: whoever still waits shall see it.
            writer.transport.abort()
        except Exception as error:  # noqa: BLE001 - the test gets it at its end
            self.errors.append(error)
            writer.transport.abort()
        finally:
            self._open.discard(task)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer the next request of a connection; return whether there may be another."""
        try:
            head = await _Head.read(reader)
        except asyncio.IncompleteReadError:
            return False
        method, path = head.line.split(" ")[:2]
        self._count += 1
        fault = self.rule(method, path, self._count)
        seen = ProxiedRequest(self._count, method, path, head.texts(), fault)
        self._seen.append(seen)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(_Exchange(head, seen, reader, writer), fault)
        finally:
            self._at_once -= 1

    async def _answer(self, exchange: _Exchange, fault: Fault | None) -> bool:
        if isinstance(fault, InsufficientStorage) and exchange.seen.method not in ("PUT", "POST"):
            exchange.seen.fault = fault = None
        match fault:
            case Refuse():
                return exchange.break_off()
            case Hang():
                await asyncio.sleep(fault.seconds)
                return exchange.break_off()
            case Answer():
                return await exchange.answer_instead(fault)
            case Delay():
                await asyncio.sleep(fault.seconds)
        async with exchange.forwarded(self.upstream) as (answer, body):
            if isinstance(fault, LostAnswer):
                return exchange.break_off()
            return await exchange.send(answer, body, fault if isinstance(fault, Cut | Stall) else None)


@contextmanager
def faulty_proxy(upstream: str, rule: Rule = no_faults) -> Iterator[FaultyProxy]:
    """Run a proxy before a server."""
    proxy = FaultyProxy(upstream, rule)
    begun: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        stop = asyncio.Event()
        await proxy.serve(stop, lambda: begun.put((asyncio.get_running_loop(), stop)))

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    loop, stop = begun.get(timeout=10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
    if proxy.errors:
        raise proxy.errors[0]


@dataclass(frozen=True)
class _Head:
    """The first line and the headers of a request or an answer."""

    line: str
    headers: list[tuple[bytes, bytes]]

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> _Head:
        first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        pairs = (line.partition(b":") for line in lines)
        return cls(first.decode("latin-1"), [(name.strip(), value.strip()) for name, _, value in pairs])

    def texts(self) -> dict[str, str]:
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.headers}

    def body_bytes(self) -> int | None:
        """Return the length of the body; None where it comes in chunks or ends with the connection."""
        length = self.texts().get("content-length")
        return None if self.is_chunked or length is None else int(length)

    @property
    def is_chunked(self) -> bool:
        return self.texts().get("transfer-encoding", "").lower() == "chunked"

    def encoded(self, *new: bytes) -> bytes:
        kept = [name + b": " + value for name, value in self.headers if name.lower() not in OF_THE_CONNECTION]
        return b"\r\n".join([self.line.encode("latin-1"), *kept, *new, b"", b""])


@dataclass(frozen=True)
class _Exchange:
    """One request and its answer, on the client's connection."""

    head: _Head
    seen: ProxiedRequest
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def break_off(self) -> bool:
        self.writer.transport.abort()
        return False

    async def answer_instead(self, fault: Answer) -> bool:
        """Answer in the server's place."""
        async for _ in self._body():
            pass
        body = fault.body()
        head = [f"HTTP/1.1 {fault.code} {fault.s3_code}", "Content-Type: application/xml", *fault.headers()]
        head += [f"Content-Length: {len(body)}", "", ""]
        self.seen.status = fault.code
        self.writer.write("\r\n".join(head).encode())
        if self.seen.method != "HEAD":
            self.writer.write(body)
            self.seen.answered_bytes = len(body)
        await self.writer.drain()
        return self._goes_on()

    @contextlib.asynccontextmanager
    async def forwarded(self, upstream: str) -> AsyncIterator[tuple[_Head, AsyncIterator[bytes]]]:
        """Send the request on, and give the head and the body of the answer."""
        target = urlsplit(upstream)
        connecting = asyncio.open_connection(target.hostname, target.port, limit=MOST_HEADER_BYTES)
        reader, writer = await asyncio.wait_for(connecting, CONNECT_TIMEOUT_S)
        try:
            length = self.head.body_bytes()
            framing = [] if length is None else [b"Content-Length: %d" % length]
            if self.head.is_chunked:
                framing.append(b"Transfer-Encoding: chunked")
            writer.write(self.head.encoded(*framing, b"Connection: close"))
            async for part in self._body():
                writer.write(_chunk(part) if self.head.is_chunked else part)
                await writer.drain()
            if self.head.is_chunked:
                writer.write(_chunk(b""))
            answer = await _Head.read(reader)
            while answer.line.split(" ")[1].startswith("1"):
                answer = await _Head.read(reader)
            yield answer, _body_of(answer, reader)
        finally:
            writer.transport.abort()

    async def send(self, answer: _Head, body: AsyncIterator[bytes], fault: Cut | Stall | None) -> bool:
        """Give the server's answer to the client, up to where the fault has it end or stop."""
        self.seen.status = status = int(answer.line.split(" ")[1])
        length = answer.body_bytes()
        has_body = self.seen.method != "HEAD" and status not in (204, 304)
        chunked = has_body and length is None
        framing = [] if length is None else [b"Content-Length: %d" % length]
        head = _Head("HTTP/1.1 " + answer.line.partition(" ")[2], answer.headers)
        self.writer.write(head.encoded(*framing, *([b"Transfer-Encoding: chunked"] if chunked else [])))
        if has_body:
            async for part in _stopped(body, fault, self.writer):
                self.writer.write(_chunk(part) if chunked else part)
                self.seen.answered_bytes += len(part)
                await self.writer.drain()
            if isinstance(fault, Cut) and self.seen.answered_bytes >= fault.after_bytes:
                # What was sent shall arrive: an abort would also discard what is still on its way.
                self.writer.close()
                return False
            if chunked:
                self.writer.write(_chunk(b""))
        await self.writer.drain()
        return self._goes_on()

    async def _body(self) -> AsyncIterator[bytes]:
        """Give the request's body, which the client may want to be asked for."""
        if self.head.texts().get("expect", "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.head.is_chunked and self.head.body_bytes() is None:
            return
        async for part in _body_of(self.head, self.reader):
            self.seen.received_bytes += len(part)
            yield part

    def _goes_on(self) -> bool:
        asked = self.head.texts().get("connection", "").lower()
        return asked != "close" and (self.head.line.endswith("HTTP/1.1") or asked == "keep-alive")


async def _body_of(head: _Head, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    if not head.is_chunked:
        async for part in _parts(reader, head.body_bytes()):
            yield part
        return
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        async for part in _parts(reader, size):
            yield part
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass


async def _parts(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    """Give so many bytes as they come, or all until the connection ends."""
    left = READ_BYTES if length is None else length
    while left:
        part = await reader.read(min(left, READ_BYTES))
        if not part:
            if length is None:
                return
            raise EOFError
        left -= 0 if length is None else len(part)
        yield part


async def _stopped(
    body: AsyncIterator[bytes], fault: Cut | Stall | None, writer: asyncio.StreamWriter
) -> AsyncIterator[bytes]:
    """Give a body up to where a fault cuts it, or with a pause where it stalls."""
    left = fault.after_bytes if fault else 0
    async for part in body:
        if fault is None or len(part) <= left:
            left -= len(part)
            yield part
            continue
        if left:
            yield part[:left]
        if isinstance(fault, Cut):
            return
        await writer.drain()
        await asyncio.sleep(fault.seconds)
        if part[left:]:
            yield part[left:]
        fault = None


def _chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)
