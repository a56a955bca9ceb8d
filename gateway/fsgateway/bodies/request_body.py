"""The body of a request as it comes in: never longer, slower or more in memory than is allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import Request

from fsgateway.admission import HeldBytes
from fsgateway.gateway_limits import GatewayLimits
from fsgateway.problems import ClientGoneError, Problem


class RequestBody:
    """Reads a body chunk by chunk.

    Attributes:
        media_type: What the caller says that it is, in small letters without parameters; empty where nothing is said.
        content_type: The same with its parameters, as it was sent.
        limits: The gateway's.
        held: Counts what is kept of it.
    """

    def __init__(self, request: Request, limits: GatewayLimits, held: HeldBytes, *, endless: bool = False) -> None:
        """Look at the head of a request.

        Args:
            request: It.
            limits: The gateway's.
            held: Counts what is kept of it.
            endless: Whether it may be of any length.

        Raises:
            Problem: It says that it is too long, or encoded.
        """
        self.content_type = request.headers.get("content-type", "")
        self.media_type = self.content_type.partition(";")[0].strip().lower()
        self.limits = limits
        self.held = held
        self._request = request
        self._most_bytes = None if endless else limits.request_bytes
        self._sending_since_s = 0.0
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            raise Problem("unsupported-body", "the body is compressed (Content-Encoding); send it as it is")
        stated = request.headers.get("content-length", "")
        if stated.isdigit() and self._most_bytes is not None:
            # A photo as the body is checked again where it is read.
            _check_length(int(stated), self._most_bytes, "the body")

    @property
    def stated_bytes(self) -> int:
        """Return the length that the caller states; 0 where it states none."""
        stated = self._request.headers.get("content-length", "")
        return int(stated) if stated.isdigit() else 0

    def begin_photo(self) -> None:
        """Give the caller time for another photo."""
        self._sending_since_s = 0.0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body's chunks, each of 64 KiB or less as the HTTP server reads them.

        Raises:
            Problem: It is longer or slower than is allowed.
            ClientGoneError: The caller closed the connection.
        """
        limits, total = self.limits, 0
        while True:
            # Only waiting for the caller counts: a batch is not read while the server is busy.
            patience_s = min(limits.idle_s, limits.photo_sending_s - self._sending_since_s)
            started = time.monotonic()
            try:
                message = await asyncio.wait_for(self._request.receive(), max(patience_s, 0.001))
            except asyncio.TimeoutError as exc:
                raise Problem(
                    "slow-body",
                    f"nothing came for {limits.idle_s:g} s, or a photo took more than {limits.photo_sending_s:g} s; "
                    "send it again, faster",
                ) from exc
            self._sending_since_s += time.monotonic() - started
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk: bytes = message.get("body", b"")
            total += len(chunk)
            if self._most_bytes is not None and total > self._most_bytes:
                _check_length(total, self._most_bytes, "the body")
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                return

    async def whole(self, most_bytes: int, what: str) -> bytes:
        """Return all of it.

        Args:
            most_bytes: The longest that it may be.
            what: What it is, for an error.

        Raises:
            Problem: It is longer or slower than is allowed, or empty.
            ClientGoneError: The caller closed the connection.
        """
        _check_length(self.stated_bytes, most_bytes, what)
        parts, total = [], 0
        async for chunk in self.chunks():
            total += len(chunk)
            _check_length(total, most_bytes, what)
            self.held.add(len(chunk))
            parts.append(chunk)
        if not total:
            raise Problem("bad-request", f"the body is empty; expected {what}")
        return b"".join(parts)


def _check_length(found: int, most: int, what: str) -> None:
    """Refuse what is too long.

    Raises:
        Problem: It is.
    """
    if found > most:
        raise Problem("too-large", f"{what} has more than {most} bytes, which is the most that is taken")
