"""The channel to a server: plain or over TLS, past any proxy where the server is on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsclient.backend.address import Access
from fsengine.server.loopback import channel_options, unlimited_messages

if TYPE_CHECKING:
    from grpc import aio


def opened_channel(target: str, *, tls: bool, access: Access) -> aio.Channel:
    """Return a channel of the running event loop; nothing is sent yet.

    Args:
        target: `host:port`, or `dns:///host:port` for all addresses of a name in turn.
        tls: Whether TLS is spoken.
        access: Certificates; the token goes with every request.

    Raises:
        OSError: A file of certificates cannot be read.
    """
    import grpc

    options: list[tuple[str, int | str]] = [*(channel_options(target) or unlimited_messages())]
    if target.startswith("dns:///"):
        options.append(("grpc.lb_policy_name", "round_robin"))
    if not tls:
        return grpc.aio.insecure_channel(target, options=options)
    files = (access.ca, access.key, access.certificate)
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*map(_bytes, files)), options=options)


def _bytes(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
