"""The command: its address, its end, TLS and token, and what it refuses."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from fsclient.cli import main
from fsengine.server.embedded import EmbeddedServer
from gateway_process import gateway_process

pytestmark = pytest.mark.triton


def test_with_a_server_of_its_own_and_a_graceful_end(
    tmp_path: Path, astronaut: bytes, known: dict[bytes, dict[str, Any]]
) -> None:
    ready = tmp_path / "ready"
    ready.write_text("http://127.0.0.1:1\n")  # of one that was killed
    with gateway_process(tmp_path / "log", "--ready-file", str(ready)) as gateway:
        assert ready.read_text() == f"{gateway.url}\n"
        with gateway.client() as http:
            assert http.post("/v1/score", content=astronaut).json() == known[astronaut]
            late: list[httpx.Response] = []
            asking = threading.Thread(target=lambda: late.append(http.post("/v1/score", content=astronaut)))
            asking.start()
            time.sleep(0.05)
            gateway.process.send_signal(signal.SIGTERM)
            asking.join(30)
        assert gateway.process.wait(30) == 0
        assert late[0].json() == known[astronaut]
        assert not ready.exists()
        assert gateway.log.read_text().endswith("stopped\n")


def test_tls_and_token(lite_server: EmbeddedServer, tmp_path: Path, coffee: bytes) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed; it makes the certificate")
    key, cert, token = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "token"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    request += f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}"
    subprocess.run(request.split(), check=True, capture_output=True)
    token.write_text("a-token-of-forty-characters-1234567890ab\n")
    token.chmod(0o600)
    secret = token.read_text().strip()
    options = ["--tls-cert", str(cert), "--tls-key", str(key), "--token-file", str(token)]
    with gateway_process(tmp_path / "log", "--server", lite_server.url, *options) as gateway:
        assert gateway.url.startswith("https://127.0.0.1:")
        with gateway.client(verify=ssl.create_default_context(cafile=str(cert))) as http:
            assert (http.get("/healthz").status_code, http.get("/readyz").status_code) == (200, 200)
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Basic {secret}"},
                {"X-API-Key": secret[:-1]},
                {"X-API-Key": secret, "Authorization": "Bearer wrong"},
            ):
                for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
                    refused = http.get(path, headers=headers)
                    assert (refused.status_code, refused.headers["www-authenticate"][:6]) == (401, "Bearer")
                assert http.post("/v1/score", content=coffee, headers=headers).status_code == 401
            for headers in ({"Authorization": f"Bearer {secret}"}, {"X-API-Key": secret}):
                assert http.get("/metrics", headers=headers).status_code == 200
                assert http.post("/v1/score", content=coffee, headers=headers).json()["status"] == "no_face"
            described = http.get("/openapi.json", headers=headers).json()
            assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        assert not gateway.exchange(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert secret not in gateway.log.read_text()


def test_what_it_refuses_before_it_starts_anything(tmp_path: Path) -> None:
    pem = tmp_path / "file.pem"
    pem.write_text("no certificate")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options, said in (
            (["--host", "0.0.0.0", "--server", "nonsense"], "--insecure"),
            (["--tls-cert", str(pem)], "--tls-key"),
            (["--tls-cert", str(pem), "--tls-key", str(pem)], "PEM"),
            (["--token-file", str(tmp_path / "none")], "does not exist"),
            (["--port", port], "another"),
            (["--ready-file", str(pem), "--port", port], "--ready-file"),
            (["--server", "nonsense"], "HOST:PORT"),
        ):
            result = CliRunner().invoke(main, ["gateway", *options])
            assert (result.exit_code, said in result.output) == (2, True), result.output


def test_its_help_waits_for_no_library() -> None:
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom fsclient.cli import main\n"
        "assert CliRunner().invoke(main, ['gateway', '--help']).exit_code == 0\n"
        "print([name for name in ('fastapi', 'uvicorn', 'prometheus_client', 'tritonclient') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
