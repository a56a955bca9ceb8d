"""`POST /v1/score`: every form of request gives what the client library gives."""

from __future__ import annotations

import base64
import io
import json
import shutil
import struct
import subprocess
import zlib
from typing import Any

import httpx
import pytest
from PIL import Image

from fsclient import Client
from fsengine.server.embedded import EmbeddedServer
from gateway_process import GatewayProcess

pytestmark = pytest.mark.triton

Known = dict[bytes, dict[str, Any]]


def in_base64(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def files(*named: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("photo", pair) for pair in named]


@pytest.mark.parametrize("content_type", ["image/jpeg", "application/x-www-form-urlencoded", "text/plain", None])
def test_a_photo_as_the_body(http: httpx.Client, astronaut: bytes, known: Known, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = http.post("/v1/score", content=astronaut, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == known[astronaut]


def test_the_readmes_curl(gateway: GatewayProcess, photos: Any, astronaut: bytes, known: Known) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    command = [
        curl,
        "-sS",
        "--noproxy",
        "*",
        "--data-binary",
        f"@{photos / 'astronaut.jpg'}",
        f"{gateway.url}/v1/score",
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout) == known[astronaut]


def test_json_with_one_photo_and_with_several(
    http: httpx.Client, astronaut: bytes, coffee: bytes, known: Known
) -> None:
    one = http.post("/v1/score", json={"image": in_base64(astronaut)})
    assert one.json() == known[astronaut]
    several = http.post("/v1/score", json={"images": [in_base64(coffee), in_base64(astronaut)]})
    assert several.json() == [known[coffee], known[astronaut]]
    assert http.post("/v1/score", json={"images": [in_base64(coffee)]}).json() == [known[coffee]]


def test_a_form_with_one_file_and_with_several(
    http: httpx.Client, astronaut: bytes, coffee: bytes, known: Known
) -> None:
    one = http.post("/v1/score", files=files(("a.jpg", astronaut)))
    assert one.json() == {**known[astronaut], "source": "a.jpg"}
    several = http.post("/v1/score", files=files(("c.jpg", coffee), ("a.jpg", astronaut), ("a.jpg", coffee)))
    assert [photo["source"] for photo in several.json()] == ["c.jpg", "a.jpg", "a.jpg"]
    assert [photo["status"] for photo in several.json()] == ["no_face", "ok", "no_face"]
    assert several.json()[1]["faces"] == known[astronaut]["faces"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", None),
        ("x" * 999 + ".jpg", "x" * 255),
        ("\u202egpj.exe", "\\u202egpj.exe"),
    ],
)
def test_the_name_of_a_file_is_only_shown(http: httpx.Client, coffee: bytes, sent: str, shown: str | None) -> None:
    assert http.post("/v1/score", files=files((sent, coffee))).json()["source"] == shown


def test_embeddings_on_request(http: httpx.Client, lite_server: EmbeddedServer, astronaut: bytes) -> None:
    answer = http.post("/v1/score?embedding=true", content=astronaut)
    with Client(lite_server.url) as client:
        assert answer.json() == client.score(astronaut).to_dict()
    assert len(answer.json()["faces"][0]["embedding"]) == 192


@pytest.mark.parametrize(("accept", "kind"), [("*/*", "JPEG"), ("image/jpeg", "JPEG"), ("image/png, */*", "PNG")])
def test_a_drawing_on_request(http: httpx.Client, astronaut: bytes, accept: str, kind: str) -> None:
    answer = http.post("/v1/score?draw=true", content=astronaut, headers={"Accept": accept})
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    drawing = Image.open(io.BytesIO(answer.content))
    drawing.load()
    assert drawing.format == kind
    assert drawing.width > 512


def bomb() -> bytes:
    """Return a PNG whose header promises 400 megapixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    scan = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + scan + chunk(b"IEND", b"")


def test_a_photo_that_cannot_be_decoded_is_an_answer(http: httpx.Client, astronaut: bytes) -> None:
    broken = {"too_large": bomb(), "corrupt": astronaut[:2000], "unsupported": b"no photo"}
    for status, photo in broken.items():
        answer = http.post("/v1/score", content=photo)
        assert (answer.status_code, answer.json()["status"]) == (200, status)
        assert answer.json()["reason"]
        assert answer.json()["faces"] == []
        drawn = http.post("/v1/score?draw=true", content=photo)
        assert drawn.status_code == 422
        assert status in drawn.json()["detail"]
    several = http.post("/v1/score", files=files(*((f"{name}.jpg", data) for name, data in broken.items())))
    assert [photo["status"] for photo in several.json()] == list(broken)


def test_every_answer_has_a_request_id(http: httpx.Client, astronaut: bytes) -> None:
    asked = {"X-Request-Id": "shop-4711.a:b_c"}
    assert http.post("/v1/score", content=astronaut, headers=asked).headers["x-request-id"] == "shop-4711.a:b_c"
    made = [
        http.get("/healthz", headers={"X-Request-Id": bad}).headers["x-request-id"] for bad in ("a b", "x" * 65, "a/b")
    ]
    assert len({*made}) == 3
    assert all(len(name) == 32 for name in made)
    refused = http.post("/v1/score", content=b"", headers=asked)
    assert refused.json()["request_id"] == refused.headers["x-request-id"] == asked["X-Request-Id"]
