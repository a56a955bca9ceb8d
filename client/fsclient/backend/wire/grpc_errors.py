"""What gRPC and Triton say of a failed request, in our exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fsengine.errors import (
    AccessDeniedError,
    DeadlineError,
    PhotoRejectedError,
    ServerBusyError,
    ServerUnavailableError,
)

_UNAVAILABLE_STATES = ("UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED")
_SICK_SERVER_MARKS = ("is not healthy", "Stub process", "shared memory", "Shared memory")
"""What Triton writes when a Python backend died or /dev/shm is full: the photo is not to blame."""
_BUSY_MARKS = ("Exceeds maximum queue size", "Request timeout expired")
"""What Triton writes when a queue is full, or a request waited too long in one."""
_RESTRICTED_MARK = "protocol is restricted"
"""What Triton writes, as UNAVAILABLE, to who shows no token or a wrong one."""

_TLS_ADVICE = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted (self-signed?): give that of who vouches for it "
    "(--tls-ca, Client(..., ca=...))",
    "is not in peer certificate": "its certificate is for another host name: call it by one that is in it",
    "Hostname Verification Check failed": "its certificate is for another host name: call it by one that is in it",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: write grpc://HOST:PORT, or have it speak TLS",
    "CERTIFICATE_REQUIRED": "it asks for a certificate of the caller: give one (--tls-cert and --tls-key)",
    "CERTIFICATE_UNKNOWN": "it does not trust the certificate of the caller (--tls-cert)",
}
_CUT_MARKS = ("Socket closed", "Connection reset", "connection attempt timed out before receiving SETTINGS")


@contextmanager
def translated_errors(url: str, *, tls: bool) -> Iterator[None]:
    """Turn the exceptions of grpc into ours.

    Args:
        url: The server, for messages.
        tls: Whether it is spoken to over TLS.
    """
    from grpc import RpcError
    from grpc.aio import AioRpcError

    try:
        yield
    except AioRpcError as exc:
        state, message = exc.code().name, exc.details() or ""
        if "DEADLINE_EXCEEDED" in state or "Deadline Exceeded" in message:
            raise DeadlineError(f"the server at {url} did not answer in time") from exc
        if _RESTRICTED_MARK in message:
            raise AccessDeniedError(
                f"the server at {url} asks for a token, and none or another one was shown: give the one that it was "
                "started with (--token-file, FACESTATS_TOKEN, Client(..., token=...))"
            ) from exc
        if any(mark in message for mark in _BUSY_MARKS):
            raise ServerBusyError(f"the server at {url} is busy: {message}; ask again later") from exc
        if any(name in state for name in _UNAVAILABLE_STATES) or any(m in message for m in _SICK_SERVER_MARKS):
            advice = next((text for mark, text in _TLS_ADVICE.items() if mark in message), None)
            if advice is not None:
                raise AccessDeniedError(f"there is no connection to {url}: {advice}") from exc
            hint = "" if tls or not any(mark in message for mark in _CUT_MARKS) else _PLAINTEXT_HINT
            raise ServerUnavailableError(f"the server at {url} is unavailable: {message}{hint}") from exc
        raise PhotoRejectedError(message) from exc
    except RpcError as exc:
        raise ServerUnavailableError(f"the connection to {url} broke: {exc}") from exc


_PLAINTEXT_HINT = " (where it speaks TLS, write grpcs://HOST:PORT)"
