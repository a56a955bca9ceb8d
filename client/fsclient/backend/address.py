"""Where a server is, and what is shown to it: addresses, TLS, tokens."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from fsengine.errors import InvalidInputError
from fsengine.server.access.tls import check_ca
from fsengine.server.access.token import checked_token
from fsengine.server.loopback import is_loopback

TOKEN_VARIABLE = "FACESTATS_TOKEN"
"""Environment variable that holds a server's token, where no file does."""

_HOST_PORT = re.compile(r"(?:[^\s:/,\[\]\x00-\x1f\x7f]+|\[[0-9A-Fa-f:.%]+\]):(?P<port>[0-9]{1,5})")
"""A name or an IPv4 address, or an IPv6 address in brackets: gRPC takes the colons of a bare one for part of a port."""

_SCHEMES = ("grpc://", "grpcs://")
_DNS = "dns:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a caller shows to a server, and whom it takes for one.

    Attributes:
        token: The server's token.
        ca: Certificates in PEM that vouch for the server; None for those that the system trusts.
        certificate: The caller's own certificate in PEM, for a server that asks for one.
        key: The private key of it.
    """

    token: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.token is not None:
            checked_token(self.token, "the token")
        if (self.certificate is None) != (self.key is None):
            raise InvalidInputError("a certificate of one's own goes together with its key (--tls-cert, --tls-key)")
        if self.ca is not None:
            check_ca(self.ca)

    @classmethod
    def given(cls, token: str | None, *files: str | os.PathLike[str] | None) -> Access:
        """Return what a caller names: token, and the files `ca`, `certificate` and `key`."""
        ca, certificate, key = (None if file is None else Path(file) for file in files)
        return cls(token=token, ca=ca, certificate=certificate, key=key)

    @property
    def is_about_tls(self) -> bool:
        """Return whether any of it is used with TLS alone."""
        return self.ca is not None or self.certificate is not None


NO_ACCESS = Access()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """One server, or several that serve the same.

    Attributes:
        targets: `host:port` of each, or the one `dns:///host:port` that stands for several.
        tls: Whether they are spoken to over TLS.
    """

    targets: tuple[str, ...]
    tls: bool = False


def parse_address(text: str, access: Access = NO_ACCESS) -> ServerAddress:
    """Return the servers that a user names.

    Args:
        text: `host:port`, several with commas, or `dns:///host:port`; with `grpcs://` before it TLS is spoken.
        access: What is shown to them.

    Raises:
        InvalidInputError: It is no address, or what is shown needs TLS, or would travel unencrypted unasked.
    """
    scheme = next((scheme for scheme in _SCHEMES if text.startswith(scheme)), "")
    rest = text.removeprefix(scheme)
    targets = tuple(rest.split(","))
    for target in targets:
        found = _HOST_PORT.fullmatch(target.removeprefix(_DNS) if len(targets) == 1 else target)
        if found is None or not 1 <= int(found["port"]) <= 65535:
            raise InvalidInputError(
                f"server {text!r} is not HOST:PORT, for example localhost:8001 or [::1]:8001 (the gRPC port), "
                "grpcs://HOST:PORT for TLS, or several with commas"
            )
    if len(set(targets)) != len(targets):
        raise InvalidInputError(f"server {text!r} names an address twice")
    tls = scheme == "grpcs://"
    if access.is_about_tls and not tls:
        raise InvalidInputError(f"certificates are given and {text} is not spoken to over TLS: write grpcs://{rest}")
    if access.token is not None and not scheme and not all(is_loopback(target) for target in targets):
        raise InvalidInputError(
            f"the token would travel to {text} unencrypted: write grpcs://{rest} for TLS, or grpc://{rest} if nobody "
            "else reads the network"
        )
    return ServerAddress(targets=targets, tls=tls)
