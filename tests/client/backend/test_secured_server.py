"""A real server with TLS and a token, or one that asks for certificates: who gets in, and what the others are told."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certificates import Certificate, make_certificate
from fsclient import AccessDeniedError, Client, InvalidInputError, ServerUnavailableError
from fsclient.backend.address import Access
from fsclient.backend.server_choice import ServerChoice
from fsclient.models.name_to_repository import served_repository
from fsengine.server.access.tls import ServerTls
from fsengine.server.embedded import EmbeddedServer
from fsengine.server.listening import TOKEN_HEADER, Listening

pytestmark = pytest.mark.triton

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def secured(certificate: Certificate) -> Iterator[EmbeddedServer]:
    tls = ServerTls(certificate=certificate.path, key=certificate.key)
    listening = Listening(tls=tls, token=TOKEN, http_port=0, metrics_port=0)
    with EmbeddedServer(served_repository("lite", print), listening=listening) as server:
        yield server


def address(server: EmbeddedServer, scheme: str = "grpcs://", host: str = "localhost") -> str:
    return f"{scheme}{host}:{server.listening.grpc_port}"


def test_who_shows_the_token_over_tls_gets_the_numbers_of_any_other_server(
    secured: EmbeddedServer, lite_server: EmbeddedServer, certificate: Certificate, photos: Path
) -> None:
    with Client(address(secured), token=TOKEN, ca=certificate.path) as client:
        found = client.score(photos / "obama.jpg").to_dict()
    with Client(lite_server.url) as client:
        assert found == client.score(photos / "obama.jpg").to_dict()


def test_a_name_stands_for_all_of_its_addresses(lite_server: EmbeddedServer, photos: Path) -> None:
    with Client(f"dns:///localhost:{lite_server.listening.grpc_port}") as client:
        assert len(client.score(photos / "obama.jpg").faces) == 1


@pytest.mark.parametrize("token", [None, "wrong-horse-battery-staple"])
def test_a_wrong_token_is_said_at_once(
    secured: EmbeddedServer, certificate: Certificate, photos: Path, token: str | None
) -> None:
    with Client(address(secured), token=token, ca=certificate.path) as client:
        started = time.monotonic()
        with pytest.raises(AccessDeniedError, match="asks for a token") as refused:
            client.score(photos / "obama.jpg")
        assert time.monotonic() - started < 5
        assert client.served().pack == "lite"
    assert (token or "?") not in str(refused.value)


def test_a_server_that_nobody_vouches_for_is_not_talked_to(
    secured: EmbeddedServer, photos: Path, tmp_path: Path
) -> None:
    stranger = make_certificate(tmp_path, "stranger")
    for ca in (None, stranger.path):
        with Client(address(secured), token=TOKEN, ca=ca) as client, pytest.raises(AccessDeniedError, match="vouches"):
            client.score(photos / "obama.jpg")


def test_tls_and_plaintext_that_meet_are_told(
    secured: EmbeddedServer, lite_server: EmbeddedServer, certificate: Certificate, photos: Path
) -> None:
    with Client(address(secured, "")) as client, pytest.raises(ServerUnavailableError, match="write grpcs://"):
        client.score(photos / "obama.jpg")
    plain = Client(f"grpcs://{lite_server.url}", ca=certificate.path)
    with plain as client, pytest.raises(AccessDeniedError, match="does not speak TLS"):
        client.score(photos / "obama.jpg")


def test_without_the_token_health_is_open_and_what_changes_the_server_is_closed_to_all(
    secured: EmbeddedServer, certificate: Certificate
) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(
        address(secured, ""), ssl=True, root_certificates=str(certificate.path), channel_args=None
    )
    assert client.is_server_ready()
    assert client.get_model_config("facestats").config.parameters["pack"].string_value == "lite"
    for headers in ({}, {TOKEN_HEADER: TOKEN}):
        for call in (
            lambda h: client.get_model_repository_index(headers=h),
            lambda h: client.register_system_shared_memory("a", "/facestats-x", 8, headers=h),
            lambda h: client.update_log_settings({"log_error": False}, headers=h),
            lambda h: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}, headers=h),
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call(headers)
    with pytest.raises(InferenceServerException, match="restricted"):
        client.get_inference_statistics()
    assert client.get_inference_statistics(headers={TOKEN_HEADER: TOKEN}).model_stats


def test_the_token_stands_in_no_list_of_processes_and_no_log(secured: EmbeddedServer) -> None:
    shown = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert any(b"tritonserver" in line for line in shown)
    assert not any(TOKEN.encode() in line or secured.listening.closed_key.encode() in line for line in shown)
    assert TOKEN not in secured.log_path.read_text()
    choice = ServerChoice(server="grpcs://localhost:1", access=Access(token=TOKEN))
    assert TOKEN not in repr(choice)


def test_commands_take_token_and_certificate(
    secured: EmbeddedServer, certificate: Certificate, photos: Path, tmp_path: Path, fsclient_command: list[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    server = ("--server", address(secured), "--tls-ca", str(certificate.path))

    def run(*words: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "FACESTATS_TOKEN"}
        environment |= {} if token is None else {"FACESTATS_TOKEN": token}
        return subprocess.run([*fsclient_command, *words], capture_output=True, text=True, env=environment, check=False)

    photo = str(photos / "obama.jpg")
    scored = run("score", photo, "--json", *server, "--token-file", str(tmp_path / "token"))
    assert json.loads(scored.stdout)[0]["status"] == "ok"
    # A secret that was made from a file ends in a newline.
    ingested = run("ingest", photo, "--out", str(tmp_path / "out"), *server, token=f"{TOKEN}\n")
    assert ingested.returncode == 0, ingested.stderr
    assert not [path for path in (tmp_path / "out").rglob("*.parquet") if TOKEN.encode() in path.read_bytes()]
    for words in (("score", photo), ("ingest", photo, "--out", str(tmp_path / "other"))):
        refused = run(*words, *server)
        assert refused.returncode == 2, refused.stderr
        assert "asks for a token" in refused.stderr
    metrics = ("--metrics", f"http://127.0.0.1:{secured.listening.metrics_port}/metrics")
    told = json.loads(run("status", "--json", *server, *metrics, token=TOKEN).stdout)
    (one,) = told["servers"]
    assert (one["ready"], one["pack"], one["heads"]) == (True, "lite", ["age_gender", "ethnicity"])
    assert one["steps"]["decode"]["requests"] > 0
    assert told["memory"]["cpu_used_bytes"] > 0
    shown = run("status", *server)
    assert shown.returncode == 0
    assert "recognises people" in shown.stdout


def test_a_server_may_ask_for_certificates_of_its_callers(
    certificate: Certificate, photos: Path, tmp_path: Path
) -> None:
    own = make_certificate(tmp_path, "caller")
    tls = ServerTls(certificate=certificate.path, key=certificate.key, client_ca=own.path)
    with EmbeddedServer(served_repository("lite", print), listening=Listening(tls=tls)) as server:
        with Client(address(server), ca=certificate.path, certificate=own.path, key=own.key) as client:
            assert client.score(photos / "coffee.jpg").status.value == "no_face"
        stranger = Client(address(server), ca=certificate.path, request_timeout_s=5)
        with stranger as client, pytest.raises((AccessDeniedError, ServerUnavailableError)):
            client.score(photos / "coffee.jpg")


@pytest.mark.parametrize(
    ("server", "given", "said"),
    [
        ("example.org:8001", {"token": TOKEN}, "would travel to example.org:8001 unencrypted"),
        ("localhost:8001", {"ca": "CA"}, "write grpcs://localhost:8001"),
        ("grpcs://localhost:8001", {"token": "short"}, "5 characters"),
        ("grpcs://localhost:8001", {"ca": "/no/such/file"}, "cannot be read"),
        ("grpcs://localhost:8001", {"certificate": "CA"}, "goes together with its key"),
        ("http://localhost:8001", {}, "is not HOST:PORT"),
        ("grpcs://localhost", {}, "is not HOST:PORT"),
        ("a:1,a:1", {}, "names an address twice"),
        ("a:1,dns:///b:2", {}, "is not HOST:PORT"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_sent(
    certificate: Certificate, server: str, given: dict[str, str], said: str
) -> None:
    files: dict[str, Any] = {name: str(certificate.path) if value == "CA" else value for name, value in given.items()}
    with pytest.raises(InvalidInputError, match=said):
        Client(server, **files)
