"""Where a Triton server listens, who may ask it what, and the options of tritonserver that say so."""

from __future__ import annotations

import errno
import secrets
import socket
from dataclasses import dataclass, field

from fsengine.errors import InvalidInputError
from fsengine.server.access.tls import ServerTls

LOOPBACK = "127.0.0.1"

TOKEN_HEADER = "triton-grpc-protocol-token"
"""Metadata of a gRPC request in which a caller shows its token; over Triton's HTTP it is the header `token`."""

_TOKEN_KEY = "token"
_CLOSED = "model-repository,shared-memory,logging,trace"
"""Closed to everybody: what changes the server, or has it read memory by name."""
_FOR_TOKENS = "inference,statistics"
"""Closed without a token where there is one. Health, metadata and model configurations stay open."""
_CLOSED_KEY = "facestats-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where a server listens and whom it answers.

    Attributes:
        host: Name or address of gRPC.
        grpc_port: 0 for a free one.
        http_port: Of Triton's own HTTP, on loopback; None for none, 0 for a free one.
        metrics_port: Of the metrics, likewise.
        tls: What gRPC shows of itself; None for plaintext.
        token: What callers have to show; None for nothing.
        closed_key: What would open the protocols that are closed to everybody; nobody is told.
    """

    host: str = LOOPBACK
    grpc_port: int = 0
    http_port: int | None = None
    metrics_port: int | None = None
    tls: ServerTls | None = None
    token: str | None = field(default=None, repr=False)
    closed_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def address(self) -> str:
        """Return the host as it stands before a port: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host


def access_arguments(*, token: str | None, closed_key: str) -> list[str]:
    """Return the options of tritonserver for who may ask what; see `Listening`."""
    closed = f"{_CLOSED}:{_CLOSED_KEY}={closed_key}"
    arguments = [f"--grpc-restricted-protocol={closed}", f"--http-restricted-api={closed}"]
    if token is not None:
        open_to_it = f"{_FOR_TOKENS}:{_TOKEN_KEY}={token}"
        arguments += [f"--grpc-restricted-protocol={open_to_it}", f"--http-restricted-api={open_to_it}"]
    return arguments


def tls_arguments(tls: ServerTls | None) -> list[str]:
    """Return the options of tritonserver for TLS; see `Listening`."""
    if tls is None:
        return []
    mutual = tls.client_ca is not None
    arguments = [
        f"--grpc-use-ssl{'-mutual' if mutual else ''}=1",
        f"--grpc-server-cert={tls.certificate.absolute()}",
        f"--grpc-server-key={tls.key.absolute()}",
    ]
    if tls.client_ca is not None:
        arguments.append(f"--grpc-root-cert={tls.client_ca.absolute()}")
    return arguments


def free_port(host: str, port: int = 0) -> int:
    """Return a port of this machine that is free now: the one that is named, or any.

    gRPC shares a port that another server has, and each gets some of the requests: so it is looked at before.

    Raises:
        InvalidInputError: The port is taken or reserved, or the host is none of this machine.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if "[" in bare or "]" in bare:
        raise InvalidInputError(f"--host {host} is no name or address; an IPv6 address is written ::1 or [::1]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if port:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            if port:
                probe.listen()
            found: int = probe.getsockname()[1]
            return found
    except socket.gaierror as exc:
        raise InvalidInputError(f"--host {host} is no name or address that is known here: {exc.strerror}") from exc
    except UnicodeError as exc:  # a name with an empty or too long part
        raise InvalidInputError(f"--host {host[:100]} is no name of a host") from exc
    except OverflowError as exc:
        raise InvalidInputError(f"port {port} given, expected 0 to 65535") from exc
    except OSError as exc:
        raise InvalidInputError(_why_not(host, port, exc)) from exc


def _why_not(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is taken by another program; choose another one, or 0 for a free one"
        case errno.EACCES:
            return f"port {port} may be opened by root alone; choose one from 1024 to 65535"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine; give one of its own, or 0.0.0.0 for all"
        case _:
            return f"{host}:{port} cannot be listened on: {error.strerror}"
