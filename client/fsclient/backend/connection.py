"""The backend for an address: one server, or several in turn."""

from __future__ import annotations

from fsclient.backend.address import Access, parse_address
from fsclient.backend.several_servers import SeveralServers
from fsclient.backend.triton import TritonBackend


def connect(server: str, access: Access, *, request_timeout_s: float) -> TritonBackend | SeveralServers:
    """Return the backend of a server; nothing is sent yet.

    Args:
        server: See `fsclient.backend.address.parse_address`.
        access: What is shown to it.
        request_timeout_s: The longest wait for one photo, in seconds.

    Raises:
        InvalidInputError: It is no address.
    """
    address = parse_address(server, access)
    backends = {
        target: TritonBackend(target, tls=address.tls, access=access, request_timeout_s=request_timeout_s)
        for target in address.targets
    }
    return next(iter(backends.values())) if len(backends) == 1 else SeveralServers(backends)
