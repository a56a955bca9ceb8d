"""What the gateway says of itself: models, health, counters, OpenAPI, and its log."""

from __future__ import annotations

import json
import re
import time
from dataclasses import fields
from typing import Any

import httpx
import jsonschema
import pytest

from forwarded_server import ForwardedServer
from fsclient import Client, Face, ScoredPhoto
from fsengine.server.embedded import EmbeddedServer
from fsgateway.routes.openapi_examples import BATCH_LINE_EXAMPLE, PHOTO_EXAMPLE
from fsgateway.routes.openapi_schemas import components
from gateway_process import GatewayProcess, limited_gateway

pytestmark = pytest.mark.triton


def test_models_are_those_of_the_server(http: httpx.Client, lite_server: EmbeddedServer) -> None:
    answer = http.get("/v1/models").json()
    with Client(lite_server.url) as client:
        served = client.served()
    assert answer.pop("heads") == ["age_gender", "ethnicity"]
    assert answer == {item.name: getattr(served, item.name) for item in fields(served)}


def test_health_and_counters(http: httpx.Client, astronaut: bytes) -> None:
    assert (http.get("/healthz").status_code, http.get("/readyz").status_code) == (200, 200)
    http.post("/v1/score", content=astronaut)
    http.get("/no/such/route")
    text = http.get("/metrics").text
    for line in (
        r'facestats_gateway_requests_total\{route="/v1/score",status="200"\} \d',
        r'facestats_gateway_requests_total\{route="unmatched",status="404"\} \d',
        r'facestats_gateway_request_seconds_bucket\{le="0.5",route="/v1/score"\} \d',
        r'facestats_gateway_photos_total\{status="ok"\} \d',
        r'facestats_gateway_problems_total\{kind="not-found"\} \d',
        r"facestats_gateway_faces_total \d",
        r"facestats_gateway_requests_in_flight 1\.0",
    ):
        assert re.search(f"^{line}", text, re.MULTILINE), line
    assert "no/such" not in text


def test_openapi_describes_the_answers(http: httpx.Client, astronaut: bytes, coffee: bytes) -> None:
    described = http.get("/openapi.json").json()
    assert set(described["paths"]) == {"/v1/score", "/v1/score/batch", "/v1/models", "/healthz", "/readyz", "/metrics"}
    schemas = described["components"]["schemas"]
    whole = {"components": {"schemas": schemas}}

    def check(value: Any, name: str) -> None:
        jsonschema.validate(value, {**whole, "$ref": f"#/components/schemas/{name}"})

    for photo in (astronaut, coffee, b"no photo"):
        check(http.post("/v1/score?embedding=true", content=photo).json(), "Photo")
    check(http.get("/v1/models").json(), "Models")
    check(http.post("/v1/score", content=b"").json(), "Problem")
    check(PHOTO_EXAMPLE, "Photo")
    check(BATCH_LINE_EXAMPLE, "BatchLine")
    with pytest.raises(jsonschema.ValidationError):
        check({**PHOTO_EXAMPLE, "width": "512"}, "Photo")
    for path in described["paths"].values():
        for operation in path.values():
            assert operation["summary"]
    assert http.get("/docs").status_code == 404
    for name in re.findall(r"#/components/schemas/(\w+)", json.dumps(described)):
        assert name in schemas


def test_schemas_have_the_fields_of_the_dataclasses() -> None:
    made = components()
    assert list(made["Photo"]["required"]) == list(made["Photo"]["properties"])
    assert {*made["Photo"]["properties"]} == {item.name for item in fields(ScoredPhoto)}
    assert {*made["Face"]["properties"]} == {item.name for item in fields(Face)}
    assert {*made["Face"]["required"]} == {"box", "landmarks", "score"}
    for name in ("Photo", "Face", "Models"):
        for field, schema in made[name]["properties"].items():
            assert schema["description"], f"{name}.{field}"


def test_the_log_has_a_line_for_each_request_and_nothing_of_a_photo(gateway: GatewayProcess, astronaut: bytes) -> None:
    secret = "topsecret4711"
    with gateway.client(headers={"X-Request-Id": "logged-1"}) as http:
        files = {"photo": (f"{secret}.jpg", astronaut)}
        assert http.post(f"/v1/score?{secret}=1", files=files).status_code == 422
        assert http.post("/v1/score", files=files).status_code == 200
        assert http.get(f"/{secret}").status_code == 404
    said = gateway.log.read_text()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    mine = [line for line in lines if line.get("request_id") == "logged-1"]
    assert [(line["route"], line["status"]) for line in mine] == [
        ("/v1/score", 422),
        ("/v1/score", 200),
        ("unmatched", 404),
    ]
    assert mine[1]["bytes_in"] > len(astronaut)
    assert {*mine[1]} >= {"time", "level", "message", "method", "ms", "bytes_out"}
    assert secret not in said
    assert "Traceback" not in said


def test_without_a_server_it_lives_and_is_not_ready(tmp_path: Any, astronaut: bytes) -> None:
    with limited_gateway(tmp_path / "log", "127.0.0.1:9", {}) as found, found.client() as http:
        assert http.get("/healthz").status_code == 200
        for answer in (http.get("/readyz"), http.get("/v1/models"), http.post("/v1/score", content=astronaut)):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert answer.headers["content-type"] == "application/problem+json"
        batch = http.post("/v1/score/batch", files={"photo": ("a.jpg", astronaut)})
        assert batch.json()["problem"]["status"] == 503
        assert "127.0.0.1:9" not in batch.text


def test_a_server_that_goes_away_and_comes_back(lite_server: EmbeddedServer, tmp_path: Any, coffee: bytes) -> None:
    with (
        ForwardedServer(lite_server.url) as server,
        limited_gateway(tmp_path / "log", f"127.0.0.1:{server.port}", {}) as found,
        found.client() as http,
    ):

        def wait_until_ready(status: int) -> None:
            deadline = time.monotonic() + 20
            while http.get("/readyz").status_code != status:
                assert time.monotonic() < deadline
                time.sleep(0.1)

        assert http.post("/v1/score", content=coffee).status_code == 200
        server.off()
        assert http.post("/v1/score", content=coffee).status_code == 503
        wait_until_ready(503)
        refused = http.post("/v1/score", content=coffee)
        assert (refused.status_code, refused.elapsed.total_seconds() < 1) == (503, True)
        assert http.get("/healthz").status_code == 200
        server.on()
        wait_until_ready(200)
        assert http.post("/v1/score", content=coffee).json()["status"] == "no_face"
