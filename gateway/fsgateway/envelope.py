"""Around every request: its id, its token, its line in the log, its place in the counters, and what is unexpected."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fsgateway.access import Access
from fsgateway.gateway_log import FIELDS, requests_log
from fsgateway.problems import ClientGoneError, Problem
from fsgateway.telemetry import Telemetry

logger = logging.getLogger(__name__)

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_CALLER_LEFT = 499
_LINGER_BYTES = 8 << 20
"""Of a body that is refused: what is read and dropped at most."""


class Envelope:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, access: Access, telemetry: Telemetry, linger_s: float) -> None:
        """Wrap an application.

        Args:
            app: It.
            access: Who may ask.
            telemetry: Counts what is done.
            linger_s: See `GatewayLimits`.
        """
        self._app = app
        self._access = access
        self._telemetry = telemetry
        self._linger_s = linger_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._linger_s)
        self._telemetry.begin_request()
        try:
            await self._answer(scope, exchange)
        finally:
            seconds = time.perf_counter() - exchange.started
            route = getattr(scope.get("route"), "path", "unmatched")
            self._telemetry.end_request(route, exchange.status, seconds)
            requests_log.info(
                "request",
                extra={
                    FIELDS: {
                        "request_id": exchange.request_id,
                        "method": scope["method"] if scope["method"] in _METHODS else "other",
                        "route": route,
                        "status": exchange.status,
                        "ms": round(1e3 * seconds, 1),
                        "bytes_in": exchange.bytes_in,
                        "bytes_out": exchange.bytes_out,
                    }
                },
            )

    async def _answer(self, scope: Scope, exchange: _Exchange) -> None:
        try:
            self._access.check(scope["path"], scope["headers"])
            await self._app(scope, exchange.receive, exchange.send)
        except ClientGoneError:
            return
        except Problem as problem:
            self._telemetry.count_problem(problem.kind)
            await problem.response(exchange.request_id)(scope, exchange.receive, exchange.send)
        except Exception as exc:  # the caller learns that it failed, and the log where, never with what
            logger.error("the gateway failed at %s", _place(exc), exc_info=exc, extra=exchange.id_field)
            if exchange.is_answered:
                raise _UnfinishedError from None
            self._telemetry.count_problem("gateway-failed")
            failed = Problem(
                "gateway-failed", "the request failed in the gateway; its log has more under this request id"
            )
            await failed.response(exchange.request_id)(scope, exchange.receive, exchange.send)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _UnfinishedError(Exception):
    """Raised so that the HTTP server breaks an answer off: the caller must not take it for whole."""


class _Exchange:
    """One request and its answer, as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, linger_s: float) -> None:
        self.started = time.perf_counter()
        self.status = _CALLER_LEFT
        self.bytes_in = 0
        self.bytes_out = 0
        headers = dict(scope["headers"])
        asked = headers.get(b"x-request-id", b"")
        self.request_id = asked.decode() if _SANE_ID.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = self.request_id
        self._body_done = b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"
        self._receive = receive
        self._send = send
        self._linger_s = linger_s

    @property
    def is_answered(self) -> bool:
        return self.status != _CALLER_LEFT

    @property
    def id_field(self) -> dict[str, Any]:
        return {FIELDS: {"request_id": self.request_id}}

    async def receive(self) -> Message:
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        self._body_done = self._body_done or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            added = [(b"x-request-id", self.request_id.encode()), (b"x-content-type-options", b"nosniff")]
            if not self._body_done:
                added.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        else:
            self.bytes_out += len(message.get("body", b""))
            if not self._body_done and not message.get("more_body", False):
                await self._send({**message, "more_body": True})
                await self._linger()
                message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _linger(self) -> None:
        """Drop what still comes of a body that is not read: closed at once, a connection may lose its answer."""
        until = time.monotonic() + self._linger_s
        dropped = 0
        while not self._body_done and dropped < _LINGER_BYTES and (left := until - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self.receive(), left)
            except asyncio.TimeoutError:
                return
            dropped += len(message.get("body", b""))


def _place(error: BaseException) -> str:
    """Return the module and line of our code in which an error arose."""
    trace, place = error.__traceback__, "an unknown place"
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith(("fsgateway", "fsclient", "fsengine", "fsdata")):
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
