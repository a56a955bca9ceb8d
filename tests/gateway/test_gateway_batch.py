"""`POST /v1/score/batch`: answers while the request is sent, bounded memory, and an end where the caller leaves."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway_process import GatewayProcess, received

pytestmark = pytest.mark.triton

LINES = {"Content-Type": "application/x-ndjson"}


def line(photo: bytes, name: Any = None) -> bytes:
    record = {"image": base64.b64encode(photo).decode(), **({} if name is None else {"id": name})}
    return json.dumps(record).encode() + b"\n"


def answers(text: str) -> list[dict[str, Any]]:
    return [json.loads(found) for found in text.splitlines()]


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


HEAD = (
    b"POST /v1/score/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def test_lines_in_lines_out(
    http: httpx.Client, astronaut: bytes, coffee: bytes, known: dict[bytes, dict[str, Any]]
) -> None:
    body = line(astronaut, "a") + b"\n" + line(coffee, 7) + line(astronaut).rstrip()
    answer = http.post("/v1/score/batch", content=body, headers=LINES)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    found = sorted(answers(answer.text), key=lambda one: one["index"])
    assert [one["id"] for one in found] == ["a", 7, None]
    assert [one["photo"] for one in found] == [known[astronaut], known[coffee], known[astronaut]]


def test_a_form_in_lines_out(http: httpx.Client, astronaut: bytes, coffee: bytes) -> None:
    files = [("photo", (f"{index}.jpg", (astronaut, coffee)[index % 2])) for index in range(20)]
    answer = http.post("/v1/score/batch?embedding=true", files=files)
    found = {one["index"]: one["photo"] for one in answers(answer.text)}
    assert [found[index]["source"] for index in range(20)] == [f"{index}.jpg" for index in range(20)]
    assert [len(found[index]["faces"]) for index in range(20)] == [1, 0] * 10
    assert len(found[0]["faces"][0]["embedding"]) == 192


def test_what_is_wrong_with_one_line_is_that_lines_problem(tight: GatewayProcess, coffee: bytes) -> None:
    wrong = [
        b'{"image": "@@@", "id": "named"}\n',
        b'{"url": "http://example.org/a.jpg"}\n',
        b"no json\n",
        b'{"image": 5}\n',
        b"[" * 5000 + b"\n",
        json.dumps({"image": "", "id": "x" * 300}).encode() + b"\n",
        line(bytes(200_001)),
        b'{"image": "' + b"A" * 400_000 + b"\n",
    ]
    with tight.client() as http:
        answer = http.post("/v1/score/batch", content=b"".join([*wrong, line(coffee, "last")]), headers=LINES)
    found = {one["index"]: one for one in answers(answer.text)}
    statuses = [found[index]["problem"]["status"] for index in range(len(wrong))]
    assert statuses == [422, 422, 400, 422, 422, 422, 413, 413]
    assert [found[index]["id"] for index in range(len(wrong))] == ["named", *[None] * (len(wrong) - 1)]
    assert found[len(wrong)]["id"] == "last"
    assert found[len(wrong)]["photo"]["status"] == "no_face"


def test_an_answer_comes_before_the_next_photo_is_sent(gateway: GatewayProcess, coffee: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(HEAD)
        got = b""
        for number in range(3):
            connection.sendall(chunked(line(coffee, number)))
            while f'"id":{number},'.encode() not in got:
                got += connection.recv(65536)
        connection.sendall(b"0\r\n\r\n")
        assert received(connection).endswith(b"0\r\n\r\n")


def test_a_batch_holds_few_photos_however_many_there_are(tight: GatewayProcess, coffee: bytes) -> None:
    def body() -> Iterator[bytes]:
        for number in range(20):
            yield line(coffee, number)

    before = peak_bytes(tight)
    with tight.client() as http:
        answer = http.post("/v1/score/batch", content=body(), headers=LINES)
    assert {one["id"] for one in answers(answer.text)} == set(range(20))
    assert all("photo" in one for one in answers(answer.text))
    assert peak_bytes(tight) - before < 30e6


def test_a_request_that_breaks_off_in_the_middle_says_so(tight: GatewayProcess, coffee: bytes) -> None:
    with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection:
        connection.sendall(HEAD + chunked(line(coffee, "a")))
        said = received(connection)
    assert b'"id":"a"' in said
    assert b'{"index":null,"id":null,"problem":{"type":"urn:facestats:problem:slow-body"' in said


def test_the_rest_of_a_batch_is_given_up_when_its_caller_leaves(tight: GatewayProcess, astronaut: bytes) -> None:
    with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection:
        connection.sendall(HEAD + chunked(line(astronaut) * 20))
        connection.recv(100)
    deadline = time.monotonic() + 5
    with tight.client() as http:
        # `tight` takes one batch at once.
        while (status := http.post("/v1/score/batch", content=b"", headers=LINES).status_code) == 429:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert status == 422
        assert "facestats_gateway_requests_in_flight 1.0" in http.get("/metrics").text


def test_more_batches_than_are_taken_are_refused(tight: GatewayProcess, coffee: bytes) -> None:
    with socket.create_connection(("127.0.0.1", tight.port), timeout=10) as connection, tight.client() as http:
        connection.sendall(HEAD + chunked(line(coffee)))
        connection.recv(100)
        refused = http.post("/v1/score/batch", content=line(coffee), headers=LINES)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        connection.sendall(b"0\r\n\r\n")
        assert received(connection).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("content_type", "status"), [("image/jpeg", 415), ("multipart/form-data", 400), ("application/x-ndjson", 422)]
)
def test_what_is_wrong_with_the_whole_request_has_a_status(http: httpx.Client, content_type: str, status: int) -> None:
    answer = http.post("/v1/score/batch", content=b"\n", headers={"Content-Type": content_type})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def peak_bytes(gateway: GatewayProcess) -> int:
    with open(f"/proc/{gateway.process.pid}/status") as file:
        (peak,) = [text.split()[1] for text in file if text.startswith("VmHWM")]
    return int(peak) * 1024
