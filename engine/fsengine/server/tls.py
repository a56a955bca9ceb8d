"""What a server shows of itself over TLS, checked before it starts."""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """The files of a server that speaks TLS.

    Attributes:
        certificate: Its certificate in PEM, those that vouch for it behind it.
        key: The private key of it, in PEM, without a password.
        client_ca: Certificates in PEM that vouch for callers; None where callers show none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> list[str]:
        """Check that the files can be used, and return what a user should know of them.

        Raises:
            InvalidInputError: One is missing, is no PEM file, or key and certificate do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def password() -> str:
            raise InvalidInputError(f"the key {self.key} has a password; give one without (openssl pkey -in KEY)")

        _opened(self.certificate, "certificate")
        mode = _opened(self.key, "key")
        try:
            context.load_cert_chain(self.certificate, self.key, password)
        except ssl.SSLError as exc:
            raise InvalidInputError(
                f"{self.certificate} and {self.key} are no certificate and its private key in PEM: "
                f"{exc.reason or exc}; give --tls-cert and --tls-key that belong together"
            ) from exc
        if self.client_ca is not None:
            check_ca(self.client_ca)
        if mode & 0o077:
            return [f"the key {self.key} may be read by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {self.key}"]
        return []


def server_tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> ServerTls | None:
    """Return the files that options name; None where none of them is given.

    Raises:
        InvalidInputError: One is given without the others that it needs.
    """
    if certificate is not None and key is not None:
        return ServerTls(certificate=certificate, key=key, client_ca=client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    raise InvalidInputError("--tls-cert and --tls-key go together, and --tls-client-ca needs both of them")


def check_ca(path: Path) -> None:
    """Check that a file holds certificates.

    Raises:
        InvalidInputError: It is missing, or holds none.
    """
    _opened(path, "file of certificates")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, OSError) as exc:
        raise InvalidInputError(f"{path} holds no certificate in PEM; expected those of who vouches") from exc


def _opened(path: Path, what: str) -> int:
    """Return the mode of a file that can be read."""
    try:
        with open(path, "rb") as file:
            file.read(1)
            return os.fstat(file.fileno()).st_mode
    except OSError as exc:
        raise InvalidInputError(f"the {what} {path} cannot be read: {exc.strerror}") from exc
