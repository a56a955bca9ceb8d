"""What a server shows of itself over TLS, checked before it starts."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import InvalidInputError
from fsengine.files.regular_file import open_regular

_SOON_DAYS = 14
_DAY_S = 86400


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
            InvalidInputError: One is missing, is no PEM file, key and certificate do not belong together, or the
                certificate is out of date.
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
        warnings = _date_warnings(context, self.certificate)
        if mode & 0o077:
            said = f"the key {self.key} may be read by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {self.key}"
            warnings.append(said)
        return warnings


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


def _date_warnings(server: ssl.SSLContext, certificate: Path) -> list[str]:
    """Check a certificate's dates by a handshake in memory: nothing else that is public reads them."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate vouches for itself here
    trusting.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    try:
        for side in (client, server.wrap_bio(to_server, to_client, server_side=True), client):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLError as exc:
        reason = exc.verify_message if isinstance(exc, ssl.SSLCertVerificationError) else exc.reason
        raise InvalidInputError(
            f"clients would refuse the certificate {certificate}: {reason}; give one of a server that is valid now"
        ) from exc
    shown = client.getpeercert()
    assert shown is not None
    days = (ssl.cert_time_to_seconds(str(shown["notAfter"])) - time.time()) / _DAY_S
    return [f"the certificate {certificate} expires in {days:.0f} days"] if days < _SOON_DAYS else []


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
        with open_regular(path) as file:
            file.read(1)
            return os.fstat(file.fileno()).st_mode
    except OSError as exc:
        raise InvalidInputError(f"the {what} {path} cannot be read: {exc.strerror}") from exc
