"""Callers that mean harm, or know no better: each is told what is wrong, and the next one is served."""

from __future__ import annotations

import base64
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_process import GatewayProcess, received

pytestmark = pytest.mark.triton

CONNECTIONS = 200
"""Of `tight`."""


@pytest.fixture(autouse=True, scope="module")
def _serves_afterwards(tight: GatewayProcess, coffee: bytes) -> Iterator[None]:
    yield
    with tight.client() as http:
        assert http.post("/v1/score", content=coffee).json()["status"] == "no_face"
        assert "facestats_gateway_requests_in_flight 1.0" in http.get("/metrics").text
    assert tight.process.poll() is None
    assert "Traceback" not in tight.log.read_text()


@pytest.fixture
def http(tight: GatewayProcess) -> Iterator[httpx.Client]:
    with tight.client() as client:
        yield client


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {*problem} == {"type", "title", "status", "detail", "request_id"}
    return answer.status_code, problem["type"].rpartition(":")[2]


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="p"; filename="a.jpg"\r\n\r\nx\r\n'

WRONG: dict[str, tuple[str, bytes, int, str]] = {
    "empty": ("image/jpeg", b"", 400, "the body is empty"),
    "too large": ("image/jpeg", bytes(200_001), 413, "more than 200000 bytes"),
    "much too large": ("image/jpeg", bytes(5_000_000), 413, "more than 600000 bytes"),
    "empty json": ("application/json", b"", 400, "the body is empty"),
    "no json": ("application/json", b"{", 400, "not JSON"),
    "deep json": ("application/json", b"[" * 100_000, 422, "expected `image`"),
    "deep in a field": ("application/json", b'{"images":' + b"[" * 100_000, 422, "expected `image`"),
    "deep unknown field": ("application/json", b'{"x":' + b"[" * 100_000, 422, "not known"),
    "not utf-8": ("application/json", b'{"image": "\xff"}', 422, "not base64"),
    "url": ("application/json", b'{"url": "http://169.254.169.254/"}', 422, "never named by path or URL"),
    "path": ("application/json", b'{"image": "aGk=", "path": "/etc/passwd"}', 422, "never named by path or URL"),
    "bad base64": ("application/json", b'{"image": "a photo"}', 422, "not base64"),
    "data url": ("application/json", b'{"image": "data:image/jpeg;base64,aGk="}', 422, "not base64"),
    "number": ("application/json", b'{"image": 5}', 422, "expected"),
    "both": ("application/json", b'{"image": "aGk=", "images": []}', 422, "one of"),
    "neither": ("application/json", b"{}", 422, "one of"),
    "no images": ("application/json", b'{"images": []}', 422, "holds no photo"),
    "large image": (
        "application/json",
        b'{"image": "' + base64.b64encode(bytes(200_001)) + b'"}',
        413,
        "more than 200000 bytes",
    ),
    "many images": ("application/json", b'{"images": ["aGk=","aGk=","aGk=","aGk="]}', 413, "more than 3 photos"),
    "no boundary": ("multipart/form-data", PART, 400, "no boundary"),
    "long boundary": ("multipart/form-data; boundary=" + "b" * 1000, PART, 400, "cannot be read"),
    "no form": (FORM, b"no form", 400, ""),
    "cut form": (FORM, PART, 400, "ends in the middle"),
    "empty form": (FORM, b"--b--\r\n", 422, "holds no photo"),
    "field": (FORM, b'--b\r\nContent-Disposition: form-data; name="url"\r\n\r\nx\r\n--b--\r\n', 422, "is no file"),
    "bare part": (FORM, b"--b\r\n\r\nx\r\n--b--\r\n", 422, "is no file"),
    "many headers": (FORM, b"--b\r\n" + b"A: b\r\n" * 10_000, 400, "cannot be read"),
    "200 files": (FORM, PART * 200 + b"--b--\r\n", 413, "more than 3 photos"),
    "large file": (FORM, PART.replace(b"x", bytes(200_001)) + b"--b--\r\n", 413, "more than 200000 bytes"),
    "mixed": ("multipart/mixed; boundary=b", PART, 415, "expected"),
    "lines": ("application/x-ndjson", b"{}", 415, "/v1/score/batch"),
    "other json": ("application/ld+json", b"{}", 415, "expected"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body(http: httpx.Client, name: str) -> None:
    content_type, body, status, detail = WRONG[name]
    answer = http.post("/v1/score", content=body, headers={"Content-Type": content_type})
    assert kind_of(answer)[0] == status
    assert detail in answer.json()["detail"]
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    ("address", "headers", "expected"),
    [
        ("/v1/score?embedding=perhaps", {}, (422, "invalid-request")),
        ("/v1/score?embeddings=true", {}, (422, "invalid-request")),
        ("/v1/score?draw=true&embedding=true", {}, (422, "invalid-request")),
        ("/v1/score", {"Content-Encoding": "gzip"}, (415, "unsupported-body")),
        ("/v1/score/", {"Host": "evil.example"}, (404, "not-found")),
        ("/v1/../etc/passwd", {}, (404, "not-found")),
        ("/healthz", {}, (405, "method-not-allowed")),
    ],
)
def test_a_wrong_request(
    http: httpx.Client, coffee: bytes, address: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert kind_of(http.post(address, content=coffee, headers=headers)) == expected


def head(more: str, path: str = "/v1/score") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n\r\n".encode()


def test_a_body_that_is_said_to_be_huge_is_refused_before_it_is_sent(tight: GatewayProcess) -> None:
    started = time.monotonic()
    said = tight.exchange(head("Content-Length: 99999999999\r\nExpect: 100-continue"))
    assert said.startswith(b"HTTP/1.1 413")
    assert b"100 Continue" not in said
    assert time.monotonic() - started < 5


def test_a_body_without_end_is_refused_where_the_limit_is(tight: GatewayProcess) -> None:
    with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        sent = 0
        with suppress(OSError):
            while sent < 200_000_000:
                connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                sent += 0x10000
    assert sent < 50_000_000


@pytest.mark.parametrize("pieces", [[b"", b""], [b"x"] * 20])
def test_a_slow_body_is_not_waited_for(tight: GatewayProcess, pieces: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection:
        connection.sendall(head("Content-Length: 1000"))
        started = time.monotonic()
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.3 if piece else 0)
        except OSError:
            pass
        said = received(connection)
    assert time.monotonic() - started < 8
    assert said.startswith(b"HTTP/1.1 408") or (not said and len(pieces) > 2)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/sc", b"POST /v1/score HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_head_that_never_ends_is_not_waited_for(tight: GatewayProcess, sent: bytes) -> None:
    started = time.monotonic()
    assert tight.exchange(sent) == b""
    assert 0.5 < time.monotonic() - started < 5


def test_what_is_no_http(tight: GatewayProcess) -> None:
    assert tight.exchange(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert tight.exchange(head("X-Long: " + "a" * 100_000).rstrip()).startswith(b"HTTP/1.1 400")
    smuggled = tight.exchange(
        head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close") + b"0\r\n\r\n"
    )
    assert smuggled.startswith(b"HTTP/1.1 400")


def test_a_caller_that_leaves_costs_nothing(tight: GatewayProcess, astronaut: bytes) -> None:
    for part in (astronaut, astronaut[:1000]):
        with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection:
            connection.sendall(head(f"Content-Length: {len(astronaut)}\r\nX-Request-Id: left-{len(part)}") + part)
            time.sleep(0.02)
    deadline = time.monotonic() + 5
    with tight.client() as http:
        while "facestats_gateway_requests_in_flight 1.0" not in http.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert '"request_id": "left-1000", "method": "POST", "route": "/v1/score", "status": 499' in tight.log.read_text()


def test_callers_that_leave_while_the_server_works_cost_the_others_nothing(
    tight: GatewayProcess, astronaut: bytes
) -> None:
    """Triton died of their cancelled requests, within 20 of them."""
    chosen = random.Random(1)
    whole = head(f"Content-Length: {len(astronaut)}") + astronaut
    with tight.client() as http:
        for turn in range(36):
            for _ in range(1 + turn % 3):
                with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection:
                    connection.sendall(whole)
                    time.sleep(chosen.uniform(0.01, 0.12))
            if turn % 10 == 9:
                assert http.post("/v1/score", content=astronaut).status_code in (200, 429)


def test_idle_connections_lock_nobody_out(tight: GatewayProcess) -> None:
    idle = []
    try:
        for _ in range(CONNECTIONS + 50):
            idle.append(socket.create_connection(("127.0.0.1", tight.port), timeout=10))
            with suppress(OSError):
                idle[-1].sendall(b"GET /healthz HTTP/1.1\r\nX-")
        with tight.client() as http:
            assert http.get("/readyz").status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_a_body_in_crumbs_holds_nobody_up(tight: GatewayProcess) -> None:
    crumbs = head("Transfer-Encoding: chunked", "/v1/nowhere") + b"1\r\nx\r\n" * 100_000
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection:
                connection.sendall(crumbs)
                received(connection)

    with ThreadPoolExecutor(2) as pool, tight.client() as http:
        senders = [pool.submit(send) for _ in range(2)]
        slowest = 0.0
        try:
            for _ in range(30):
                started = time.monotonic()
                assert http.get("/healthz").status_code == 200
                slowest = max(slowest, time.monotonic() - started)
        finally:
            done.set()
        for sender in senders:
            sender.result(20)
    assert slowest < 0.8  # with all of it at once: 1 to 2.4 s


def test_an_answer_that_is_not_read_is_not_kept(tight: GatewayProcess, photos: Path) -> None:
    photo = (photos / "gauss.jpg").read_bytes()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", tight.port))
        asked = head(f"Content-Length: {len(photo)}\r\nAccept: image/png", "/v1/score?draw=true") + photo
        with suppress(OSError):
            connection.sendall(asked * 40)
        ends = f"0100007F:{tight.port:04X} 0100007F:{connection.getsockname()[1]:04X} 01"  # 01: established
        deadline = time.monotonic() + 20
        while ends in Path("/proc/net/tcp").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_more_than_the_server_can_do_is_turned_away_at_once(
    tight: GatewayProcess, astronaut: bytes, known: dict[bytes, dict[str, Any]]
) -> None:
    def ask(_: int) -> httpx.Response:
        with tight.client() as client:
            return client.post("/v1/score", content=astronaut)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert served
    assert refused
    assert all(answer.json() == known[astronaut] for answer in served)
    for answer in refused:
        assert kind_of(answer) == (429, "busy")
        assert answer.headers["retry-after"] == "2"
        assert answer.elapsed.total_seconds() < 5
