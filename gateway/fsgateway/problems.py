"""What went wrong, as callers get it: `application/problem+json` of RFC 9457."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi.responses import Response

from fsengine.errors import DeadlineError, FaceStatsError, InferenceError, ServerUnavailableError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""Advice to callers that are turned away because there is too much to do."""

TITLES: Mapping[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be read"),
    "unauthorized": (401, "A token is needed"),
    "not-found": (404, "There is no such route"),
    "method-not-allowed": (405, "The route has no such method"),
    "slow-body": (408, "The body came too slowly"),
    "too-large": (413, "The request is too large"),
    "unsupported-body": (415, "The body is of a kind that is not read"),
    "invalid-request": (422, "The request asks for what cannot be done"),
    "busy": (429, "There is too much to do at once"),
    "gateway-failed": (500, "The gateway failed"),
    "server-failed": (502, "The server behind the gateway failed"),
    "server-unavailable": (503, "The server behind the gateway cannot be reached"),
    "deadline": (504, "The answer was not there in time"),
}
"""Kind of a problem to its status and title; its `type` is `urn:facestats:problem:KIND`."""


class Problem(Exception):  # noqa: N818  (the word of RFC 9457)
    """Raised where a request ends without what it asked for.

    Attributes:
        kind: A key of `TITLES`.
        detail: What was found, what was expected, and what to do; never a photo's content.
        headers: Of the answer, beside the usual ones.
    """

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        """Make a problem; see the attributes of the class."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.status, self.title = TITLES[kind]
        self.headers = dict(headers or {})
        if kind in ("busy", "server-unavailable"):
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_S))

    def to_dict(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem document."""
        return {
            "type": f"urn:facestats:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }

    def response(self, request_id: str) -> Response:
        """Return the problem as an answer."""
        body = json.dumps(self.to_dict(request_id)).encode()
        return Response(body, self.status, headers=self.headers, media_type=MEDIA_TYPE)


class ClientGoneError(Exception):
    """Raised where the caller closed the connection before its answer."""


def problem_of(error: FaceStatsError) -> Problem:
    """Return what a failure of the client library means for a caller.

    The library's texts name the server's address, which is no caller's business.
    """
    if isinstance(error, ServerUnavailableError):
        return Problem("server-unavailable", "the server is starting, stopping, busy or gone; try again")
    if isinstance(error, DeadlineError):
        return Problem("deadline", "the server did not answer in time; try again, or send fewer photos at once")
    if isinstance(error, InferenceError):
        return Problem("server-failed", "the server refused the gateway's request; the gateway's log says why")
    return Problem("gateway-failed", "the request could not be carried out; the gateway's log says why")
