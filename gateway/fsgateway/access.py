"""Who may ask: everybody, or those who know the token."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from fsgateway.problems import Problem

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What an orchestrator asks, which has no token."""

_ADVICE = "send the header `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`"


class Access:
    """Compares the token of a request with the gateway's, in a time that does not depend on it."""

    def __init__(self, token: str | None) -> None:
        """Set the token.

        Args:
            token: What callers must send; None lets everybody in.
        """
        self._token = None if token is None else token.encode()

    def check(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Let a request pass, or not.

        Args:
            path: What it asks for.
            headers: Its headers, their names in small letters.

        Raises:
            Problem: It has no token or a wrong one.
        """
        if self._token is None or path in OPEN_PATHS:
            return
        sent = [token for name, value in headers if (token := _token_of(name, value)) is not None]
        if len(sent) == 1 and hmac.compare_digest(sent[0], self._token):
            return
        found = "no token was" if not sent else "a wrong token was" if len(sent) == 1 else "several tokens were"
        raise Problem("unauthorized", f"{found} sent; {_ADVICE}", {"WWW-Authenticate": 'Bearer realm="facestats"'})


def _token_of(name: bytes, value: bytes) -> bytes | None:
    """Return the token that a header holds, if it is one for tokens."""
    if name == b"x-api-key":
        return value.strip()
    if name == b"authorization":
        scheme, _, token = value.strip().partition(b" ")
        return token.strip() if scheme.lower() == b"bearer" else b""
    return None
