"""What may be reached from other machines, and the files that it takes: tokens, certificates, ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from certificates import Certificate, make_certificate
from fsengine.errors import InvalidInputError
from fsengine.server.access.exposure import check_exposure
from fsengine.server.access.tls import server_tls
from fsengine.server.access.token import checked_token, read_token
from fsengine.server.listening import Listening, free_port

TOKEN = "0123456789abcdef-._~+/"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.10", "::ffff:127.0.0.1"])
def test_this_machine_alone_needs_nothing(host: str) -> None:
    check_exposure(host, tls=False, authenticated=False, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "", "::ffff:0.0.0.0", "192.0.2.1", "example.org", "fe80::1"])
def test_other_machines_need_tls_and_a_token_or_certificate(host: str) -> None:
    check_exposure(host, tls=True, authenticated=True, insecure=False)
    check_exposure(host, tls=False, authenticated=False, insecure=True)
    for tls, authenticated, missing in ((False, True, "TLS"), (True, False, "a token"), (False, False, "TLS.*a token")):
        with pytest.raises(InvalidInputError, match=missing):
            check_exposure(host, tls=tls, authenticated=authenticated, insecure=False)


def token_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_token_is_the_one_line_of_its_file(tmp_path: Path) -> None:
    assert read_token(token_file(tmp_path, f"{TOKEN}\n".encode())) == TOKEN


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"short", "5 characters, expected 16"),
        (b"x" * 513, "513 characters"),
        (b"0123456789abcdef0123\nand a second line", "a second line"),
        (b"0123456789abcdef=0123", "letters, digits"),
        (b"0123456789abcdef,logging:a", "letters, digits"),
        ("0123456789abcdéf0123".encode(), "letters, digits"),
        (b"\xff\xfe" * 20, "letters, digits"),
        (b"0123456789abcdef\x000123", "letters, digits"),
    ],
)
def test_what_is_no_token_is_refused_without_showing_it(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as refused:
        read_token(token_file(tmp_path, content))
    assert "0123456789" not in str(refused.value)


def test_a_token_file_is_there_and_its_owner_s_alone(tmp_path: Path) -> None:
    path = token_file(tmp_path, TOKEN.encode(), 0o640)
    with pytest.raises(InvalidInputError, match=r"mode 0640.*chmod 600"):
        read_token(path)
    assert read_token(path, private=False) == TOKEN
    os.mkfifo(tmp_path / "fifo")
    for missing in (tmp_path / "none", tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            read_token(missing)


def test_a_token_stands_in_no_representation() -> None:
    assert TOKEN not in repr(Listening(token=checked_token(TOKEN, "it")))


def test_certificate_and_key_belong_together(certificate: Certificate, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "other")
    made = server_tls(certificate.path, certificate.key, certificate.path)
    assert made is not None
    assert made.check() == []
    other.key.chmod(0o644)
    spoiled = server_tls(other.path, other.key, None)
    assert spoiled is not None
    assert "chmod 600" in spoiled.check()[0]
    no_pem, fifo = tmp_path / "text.pem", tmp_path / "fifo"
    os.mkfifo(fifo)
    no_pem.write_text("no certificate")
    for cert, key, client_ca in (
        (certificate.path, other.key, None),
        (no_pem, certificate.key, None),
        (certificate.path, no_pem, None),
        (certificate.path, certificate.key, no_pem),
        (tmp_path / "none", certificate.key, None),
        (certificate.path, tmp_path, None),
        (certificate.path, fifo, None),
        (certificate.path, certificate.key, fifo),
    ):
        files = server_tls(cert, key, client_ca)
        assert files is not None
        with pytest.raises(InvalidInputError, match=r"PEM|cannot be read"):
            files.check()
    for pair in ((certificate.path, None, None), (None, certificate.key, None), (None, None, certificate.path)):
        with pytest.raises(InvalidInputError, match="go together"):
            server_tls(*pair)


def test_ports_and_hosts_that_cannot_be_had_are_named() -> None:
    assert 0 < free_port("127.0.0.1") < 65536
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=f"port {port} of 127.0.0.1 is taken"):
            free_port("127.0.0.1", port)
    with pytest.raises(InvalidInputError, match="no address of this machine"):
        free_port("192.0.2.1", 0)
    with pytest.raises(InvalidInputError, match="no name or address"):
        free_port("no.such.host.invalid", 0)
    for host in ("..localhost", "a" * 300 + ".localhost", "[::1", "::1]", "127.0.0.1]"):
        with pytest.raises(InvalidInputError, match="is no name"):
            free_port(host, 0)
