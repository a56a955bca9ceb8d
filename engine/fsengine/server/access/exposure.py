"""Who may reach a server: beyond this machine only over TLS, and only those who show that they may."""

from __future__ import annotations

from fsengine.errors import InvalidInputError
from fsengine.server.loopback import is_loopback_host, is_unspecified_host


def check_exposure(host: str, *, tls: bool, authenticated: bool, insecure: bool) -> None:
    """Check that a server may listen on an address.

    Args:
        host: Name or address that it listens on, or that it is published on.
        tls: Whether it speaks TLS.
        authenticated: Whether callers have to show a token, or a certificate of their own.
        insecure: Whether the user said that anybody may have it.

    Raises:
        InvalidInputError: Others than this machine would reach it without TLS, or without showing anything.
    """
    if insecure or (is_loopback_host(host) and not is_unspecified_host(host)) or (tls and authenticated):
        return
    missing = [] if tls else ["TLS (--tls-cert and --tls-key)"]
    if not authenticated:
        missing.append("a token (--token-file)")
    raise InvalidInputError(
        f"{host!r} is none of 127.0.0.1, ::1 and localhost: other machines could reach it, and photos and scores of "
        f"people would travel without {' and without '.join(missing)}: give what is missing, listen on 127.0.0.1, or "
        "say --insecure if the network is closed to others"
    )
