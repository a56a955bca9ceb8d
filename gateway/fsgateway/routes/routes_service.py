"""What is served, how the gateway is, and what it counted."""

from __future__ import annotations

from dataclasses import asdict

import msgspec
from fastapi import APIRouter
from fastapi.responses import Response

from fsengine.contracts.steps import HEADS
from fsgateway.photo_answers import Gateway
from fsgateway.problems import Problem
from fsgateway.routes.openapi_schemas import MODELS, PROBLEM, problem_responses, ref
from fsgateway.telemetry import MEDIA_TYPE

JSON = "application/json"


def service_routes(gateway: Gateway) -> APIRouter:
    """Return the routes that score nothing."""
    router = APIRouter()

    @router.get(
        "/v1/models",
        summary="What is served: models, labels, thresholds, marks, licences, heads",
        response_class=Response,
        responses={
            200: {"description": "The models", "content": {JSON: {"schema": ref(MODELS)}}},
            **problem_responses("server-unavailable"),
        },
    )
    async def models() -> Response:
        served = gateway.behind.models
        body = {**asdict(served), "heads": [step for step in served.models if step in HEADS]}
        return Response(msgspec.json.encode(body), media_type=JSON)

    @router.get("/healthz", summary="Whether the gateway lives", response_class=Response, responses={200: _HEALTHY})
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type=JSON)

    @router.get(
        "/readyz",
        summary="Whether the server behind is ready",
        response_class=Response,
        responses={200: _HEALTHY, 503: {"description": "It is not", "content": {JSON: {"schema": ref(PROBLEM)}}}},
    )
    async def readyz() -> Response:
        if not gateway.behind.is_ready:
            raise Problem("server-unavailable", "the server behind the gateway is not ready")
        return Response(b'{"status":"ready"}', media_type=JSON)

    @router.get(
        "/metrics",
        summary="Counters in the text format of Prometheus",
        response_class=Response,
        responses={200: {"description": "The counters", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(gateway.telemetry.text(), headers={"Content-Type": MEDIA_TYPE})

    return router


_HEALTHY = {
    "description": "It is",
    "content": {JSON: {"schema": {"type": "object", "properties": {"status": {"type": "string"}}}}},
}
