"""HTTP of callers that are slow, idle, or send their bodies in crumbs: none of them holds the others up."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from fsgateway.gateway_limits import GatewayLimits

_PIECE_BYTES = 4096
_CRUMBS_BYTES = 4 * _PIECE_BYTES
"""Of a body in chunks, after which these are judged."""


def patient_protocol(limits: GatewayLimits) -> type[H11Protocol]:
    """Return the protocol of one server.

    Args:
        limits: What its callers may do.
    """
    return type("_Protocol", (_PatientProtocol,), {"limits": limits, "idle": {}})


class _PatientProtocol(H11Protocol):
    """Closes connections of callers that take too long to send the head of a request, or to read an answer.

    uvicorn waits for both without end, and its other time limits are about connections between two requests. Where
    there are too many connections, those without a request are closed, the oldest first, so that they lock nobody out.

    Attributes:
        limits: What callers may do.
        idle: Connections without a request, the oldest first; one for each server.
    """

    limits: GatewayLimits
    idle: dict[_PatientProtocol, None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None
        self._unparsed = bytearray()
        self._parsing: asyncio.Handle | None = None
        self._chunked_bytes = 0
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.limits.header_s, transport.abort)
        self.idle[self] = None
        if len(self.connections) > self.limits.connections:
            next(iter(self.idle)).transport.abort()

    def data_received(self, data: bytes) -> None:
        self._unparsed += data
        if self._parsing is None:
            self._parse()

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
        self.idle.pop(self, None)
        self._unparsed.clear()
        for timer in (self._head_timer, self._reading_timer, self._parsing):
            if timer is not None:
                timer.cancel()

    def _parse(self) -> None:
        """Parse what has come, in pieces between which others have their turn: a chunk costs 5 us, even of a byte.

        A body that is less than half of what is sent for it comes from nobody who means well.
        """
        whole = self.conn.their_state is h11.SEND_BODY and (b"transfer-encoding", b"chunked") not in self.headers
        piece = bytes(self._unparsed if whole else self._unparsed[:_PIECE_BYTES])
        del self._unparsed[: len(piece)]
        cycle, held = self.cycle, 0 if self.cycle is None else len(self.cycle.body)
        super().data_received(piece)
        self._watch_head()
        if not whole and cycle is not None and cycle is self.cycle:
            self._chunked_bytes += len(piece)
            self._body_bytes += len(cycle.body) - held
            if self._chunked_bytes > _CRUMBS_BYTES and 2 * self._body_bytes < self._chunked_bytes:
                self.transport.abort()
        if self._unparsed and not self.transport.is_closing():
            self.transport.pause_reading()
            self._parsing = self.loop.call_soon(self._parse)
        elif self._parsing is not None:
            self._parsing = None
            if not self.flow.read_paused:
                self.transport.resume_reading()

    def _watch_head(self) -> None:
        """Let the timer run while the head of a request is there in part."""
        if self.cycle is None or self.cycle.response_complete:
            self.idle[self] = None
        else:
            self.idle.pop(self, None)
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if begun and self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.header_s, self.transport.abort)
        elif not begun and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
