"""What a real server leaves open and closes, to whom, and where it listens.

Most of it needs no model, so these servers serve none and are ready at once.
"""

from __future__ import annotations

import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certificates import Certificate, make_certificate
from fsengine.errors import InvalidInputError
from fsengine.server.access.tls import ServerTls
from fsengine.server.embedded import EmbeddedServer
from fsengine.server.listening import TOKEN_HEADER, Listening

pytestmark = pytest.mark.triton

TOKEN = "a-token.of~the/tests+0123"
SHOWN = {TOKEN_HEADER: TOKEN}
TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def no_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("no-models")


@pytest.fixture(scope="module")
def secured(no_models: Path, certificate: Certificate) -> Iterator[EmbeddedServer]:
    """With TLS, a token, HTTP and metrics."""
    tls = ServerTls(certificate=certificate.path, key=certificate.key)
    with EmbeddedServer(no_models, listening=Listening(tls=tls, token=TOKEN, http_port=0, metrics_port=0)) as server:
        yield server


def grpc_client(server: EmbeddedServer, trusted: Path | None = None, own: Certificate | None = None) -> Any:
    from tritonclient.grpc import InferenceServerClient

    files = {} if own is None else {"private_key": str(own.key), "certificate_chain": str(own.path)}
    if trusted is None:
        return InferenceServerClient(server.url)
    return InferenceServerClient(server.url, ssl=True, root_certificates=str(trusted), **files)


def infer(client: Any, headers: dict[str, str] | None) -> None:
    client.infer("facestats", [], headers=headers, client_timeout=TIMEOUT_S)


def statistics(client: Any, headers: dict[str, str] | None) -> None:
    client.get_inference_statistics(headers=headers, client_timeout=TIMEOUT_S)


def refused(call: Callable[..., object], *arguments: Any, **named: Any) -> str:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as caught:
        call(*arguments, **named)
    return str(caught.value)


@pytest.mark.parametrize("call", [infer, statistics])
def test_nothing_is_scored_or_told_without_the_token(
    secured: EmbeddedServer, certificate: Certificate, call: Callable[[Any, dict[str, str] | None], None]
) -> None:
    with grpc_client(secured, certificate.path) as client:
        for headers in (None, {TOKEN_HEADER: TOKEN[:-1]}, {TOKEN_HEADER: TOKEN + "0"}, {"token": TOKEN}):
            assert "protocol is restricted" in refused(call, client, headers)


def test_the_token_opens_inference_and_statistics(secured: EmbeddedServer, certificate: Certificate) -> None:
    with grpc_client(secured, certificate.path) as client:
        assert "unknown model: 'facestats'" in refused(infer, client, SHOWN)
        statistics(client, SHOWN)


CONTROL: dict[str, Callable[[Any], object]] = {
    "model-repository": lambda client: client.get_model_repository_index(headers=SHOWN),
    "load": lambda client: client.load_model("facestats", headers=SHOWN),
    "unload": lambda client: client.unload_model("facestats", headers=SHOWN),
    "shared-memory": lambda client: client.register_system_shared_memory("a", "/a", 8, headers=SHOWN),
    "cuda-shared-memory": lambda client: client.get_cuda_shared_memory_status(headers=SHOWN),
    "logging": lambda client: client.update_log_settings({"log_error": False}, headers=SHOWN),
    "trace": lambda client: client.update_trace_settings(settings={"trace_level": ["OFF"]}, headers=SHOWN),
}


@pytest.mark.parametrize("protocol", CONTROL)
def test_what_changes_a_server_is_closed_to_everybody(
    secured: EmbeddedServer, certificate: Certificate, protocol: str
) -> None:
    with grpc_client(secured, certificate.path) as client:
        assert "protocol is restricted" in refused(CONTROL[protocol], client)


def test_it_is_closed_on_a_server_without_a_token_too(no_models: Path) -> None:
    with EmbeddedServer(no_models) as server, grpc_client(server) as client:
        for call in CONTROL.values():
            assert "protocol is restricted" in refused(call, client)
        assert "unknown model" in refused(infer, client, None)


def http(port: int | None, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_http_has_the_same_doors_and_metrics_are_numbers_alone(secured: EmbeddedServer) -> None:
    port = secured.listening.http_port
    asked = b'{"inputs": []}'
    assert http(port, "/v2/health/ready")[0] == 200
    assert http(port, "/v2/models/facestats/infer", asked)[0] == 403
    assert http(port, "/v2/models/facestats/infer", asked, token="wrong")[0] == 403
    assert http(port, "/v2/models/facestats/infer", asked, token=TOKEN)[0] != 403
    assert http(port, "/v2/models/stats")[0] == 403
    for path in ("/v2/repository/index", "/v2/repository/models/facestats/load", "/v2/logging", "/v2/trace/setting"):
        assert http(port, path, b"{}", token=TOKEN)[0] == 403
    status, metrics = http(secured.listening.metrics_port, "/metrics")
    assert status == 200
    assert "nv_" in metrics
    assert TOKEN not in metrics


def test_callers_show_a_certificate_where_that_is_asked_for(
    no_models: Path, certificate: Certificate, tmp_path: Path
) -> None:
    caller, stranger = make_certificate(tmp_path, "caller"), make_certificate(tmp_path, "stranger")
    tls = ServerTls(certificate=certificate.path, key=certificate.key, client_ca=caller.path)
    with EmbeddedServer(no_models, listening=Listening(tls=tls)) as server:
        for own in (None, stranger):
            with grpc_client(server, certificate.path, own) as client:
                assert "UNAVAILABLE" in refused(client.is_server_live, client_timeout=TIMEOUT_S)
        with grpc_client(server, certificate.path, caller) as client:
            assert client.is_server_ready(client_timeout=TIMEOUT_S)


@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]", "0.0.0.0", "::"])
def test_it_listens_where_it_is_told(no_models: Path, host: str) -> None:
    if ":" in host and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with EmbeddedServer(no_models, listening=Listening(host=host)) as server, grpc_client(server) as client:
        assert client.is_server_ready(client_timeout=TIMEOUT_S)


def test_a_port_that_is_taken_is_told_before_the_start(no_models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for listening in (Listening(grpc_port=port), Listening(http_port=port), Listening(metrics_port=port)):
            with pytest.raises(InvalidInputError, match=f"port {port} of 127.0.0.1 is taken"):
                EmbeddedServer(no_models, listening=listening).start()


def test_a_second_interruption_gives_up_what_is_in_flight(no_models: Path) -> None:
    server = EmbeddedServer(no_models)
    server.start()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            server.stop(drain=True)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not server.alive()
    deadline = time.monotonic() + TIMEOUT_S
    while accepts(server.listening.grpc_port):  # what is killed needs a moment
        assert time.monotonic() < deadline


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
