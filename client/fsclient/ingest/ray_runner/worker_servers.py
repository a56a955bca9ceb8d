"""Which servers the workers of a cluster ask, and how they get to them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fsclient.backend.address import TOKEN_VARIABLE, Access, parse_address
from fsclient.backend.connection import connect
from fsclient.backend.protocol import InferenceBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A server as a worker holds it.

    Attributes:
        backend: The way to it.
        photos_in_flight: The most photos that it has room for; None where it is not known.
    """

    backend: InferenceBackend
    photos_in_flight: int | None = None


class Servers(Protocol):
    """Which servers workers ask; it goes to them pickled, and so holds nothing secret."""

    def connect(self) -> Connected:
        """Return the server of the worker that calls this; may block.

        Raises:
            FaceStatsError: There is none.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedServers:
    """Servers that run somewhere, asked in turn.

    What is shown to them stays on the nodes: each worker reads the token in the environment that its node was started
    with, and the files lie there.

    Attributes:
        server: See `fsclient.backend.address.parse_address`.
        ca: See `Access`; a file of each node, like the two after it.
        certificate: See `Access`.
        key: See `Access`.
        request_timeout_s: The longest wait for one photo.
    """

    server: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    request_timeout_s: float

    @classmethod
    def of(cls, server: str, access: Access, *, request_timeout_s: float) -> NamedServers:
        """Return the servers that a command was given, without its token."""
        return cls(
            server=server,
            ca=access.ca,
            certificate=access.certificate,
            key=access.key,
            request_timeout_s=request_timeout_s,
        )

    def connect(self) -> Connected:
        """Return the way to them."""
        token = os.environ.get(TOKEN_VARIABLE, "").strip() or None
        access = Access(token=token, ca=self.ca, certificate=self.certificate, key=self.key)
        parse_address(self.server, access)
        return Connected(backend=connect(self.server, access, request_timeout_s=self.request_timeout_s))
