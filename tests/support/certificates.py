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


def make_certificate(folder: Path, name: str = "server") -> Certificate:
    """Make one; the test is skipped where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program is missing; it makes certificates")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", f"/CN={name}"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", made.key, "-out", made.path], check=True, capture_output=True)
    made.key.chmod(0o600)
    return made
