"""Our pages and this server speak with each other alone.

Requests of other pages of the web are refused, for they could open a session or show crops as theirs; and browsers are
told to let our pages ask no other host for anything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' data: blob:; "
    "connect-src 'self' data: blob:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


class SameOrigin:
    """Middleware that lets requests through which come from our own pages, or from no page.

    Answers carry a policy by which a browser lets them ask this server alone. Streamlit's own check asks a host on the
    internet for this machine's address, so it is not used.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str], *, any_address: bool) -> None:
        """Hold what comes behind.

        Args:
            app: It.
            names: Names and addresses by which the dashboard may be called, so that a name that somebody points at this
                machine does not pass for ours.
            any_address: Whether it may be called by every address too, which nobody can point elsewhere.
        """
        self._app = app
        self._names = {name.lower().strip("[]") for name in names}
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] not in ("http", "websocket") or self._allowed(scope):
            await self._app(scope, receive, _with_policy(send))
            return
        from starlette.responses import PlainTextResponse
        from starlette.websockets import WebSocketClose

        refusal = "this dashboard answers its own pages alone; open it by the address that `fsclient dashboard` printed"
        answer = WebSocketClose(1008) if scope["type"] == "websocket" else PlainTextResponse(refusal, 403)
        await answer(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        called = headers.get(b"host", "")
        origin = headers.get(b"origin")
        try:
            name = urlsplit(f"//{called}").hostname
            of_page = None if origin is None else urlsplit(origin).netloc.lower()
        except ValueError:  # an open bracket
            return False
        if name not in self._names and not (self._any_address and _is_address(name)):
            return False
        if headers.get(b"sec-fetch-site", "none") not in ("same-origin", "none") and scope["path"] != "/":
            return False
        return of_page is None or of_page == called.lower()


def _is_address(name: str | None) -> bool:
    try:
        ipaddress.ip_address(name or "")
    except ValueError:
        return False
    return True


def _with_policy(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"content-security-policy", _POLICY.encode())]}
        await send(message)

    return sent
