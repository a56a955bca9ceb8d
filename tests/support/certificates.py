"""Certificates for tests, made by the openssl program."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """A certificate of 127.0.0.1 and localhost that vouches for itself, and its key."""

    path: Path
    key: Path

    @property
    def options(self) -> tuple[str, ...]:
        return ("--tls-cert", str(self.path), "--tls-key", str(self.key))


def make_certificate(folder: Path, name: str = "server", *, days: int = 90) -> Certificate:
    """Make one; the test is skipped where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program is missing; it makes certificates")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj", f"/CN={name}"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", made.key, "-out", made.path], check=True, capture_output=True)
    made.key.chmod(0o600)
    return made


def make_expired_certificate(folder: Path) -> Certificate:
    """Make one that was valid on a day of 2020; `openssl req` makes none with a date."""
    now = make_certificate(folder, "now")
    made = Certificate(folder / "expired.pem", now.key)
    (folder / "index.txt").touch()
    config = folder / "ca.conf"
    config.write_text(
        f"[ca]\ndefault_ca = own\n[own]\ndatabase = {folder}/index.txt\nnew_certs_dir = {folder}\n"
        "rand_serial = yes\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n"
    )
    request = folder / "request.pem"
    asked = ["openssl", "req", "-new", "-key", str(now.key), "-subj", "/CN=expired", "-out", str(request)]
    dates = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
    signed = ["openssl", "ca", "-batch", "-selfsign", "-config", str(config), "-keyfile", str(now.key)]
    signed += ["-in", str(request), *dates]
    for command in (asked, [*signed, "-out", str(made.path)]):
        subprocess.run(command, check=True, capture_output=True)
    return made
