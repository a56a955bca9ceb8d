"""Certificates are checked before a server starts, beyond that they are files in PEM that belong together."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from certificates import Certificate, make_certificate, make_expired_certificate
from fsengine.errors import InvalidInputError
from fsengine.server.access.tls import ServerTls


def tls(certificate: Path, key: Path, client_ca: Path | None = None) -> ServerTls:
    return ServerTls(certificate=certificate, key=key, client_ca=client_ca)


def test_a_certificate_that_ends_soon_is_a_warning(certificate: Certificate, tmp_path: Path) -> None:
    assert tls(certificate.path, certificate.key).check() == []
    soon = make_certificate(tmp_path, "soon", days=2)
    (warning,) = tls(soon.path, soon.key).check()
    assert warning.endswith(f"{soon.path} expires in 2 days")


def test_a_key_is_no_certificate(certificate: Certificate) -> None:
    with pytest.raises(InvalidInputError, match="PEM"):
        tls(certificate.key, certificate.path).check()


def test_a_key_with_a_password_is_refused(certificate: Certificate, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", str(certificate.key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(InvalidInputError, match="has a password"):
        tls(certificate.path, locked).check()


def test_a_certificate_out_of_date_is_refused(tmp_path: Path) -> None:
    expired = make_expired_certificate(tmp_path)
    with pytest.raises(InvalidInputError, match=r"expired\.pem: certificate has expired"):
        tls(expired.path, expired.key).check()
