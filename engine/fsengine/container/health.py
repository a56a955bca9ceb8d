"""Whether a server is ready, for a container's health check: its image has no need of curl."""

from __future__ import annotations

import http.client
import urllib.request

READY_PATH = "/v2/health/ready"


def is_ready(url: str, timeout_s: float = 5.0) -> bool:
    """Return whether the server at an address has every model ready.

    Args:
        url: For example `http://127.0.0.1:8000`.
        timeout_s: How long it may take to answer.
    """
    # A proxy of the environment is for the world outside, not for this container's own server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url.rstrip("/") + READY_PATH, timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False
