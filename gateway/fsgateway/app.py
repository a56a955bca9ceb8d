"""The application: routes, errors, and what stands around every request."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from fsengine.errors import FaceStatsError
from fsgateway.access import Access
from fsgateway.admission import Admission
from fsgateway.envelope import Envelope
from fsgateway.gateway_limits import GatewayLimits
from fsgateway.gateway_log import FIELDS, requests_log
from fsgateway.photo_answers import Gateway
from fsgateway.problems import Problem, problem_of
from fsgateway.routes.openapi_schemas import components
from fsgateway.routes.routes_batch import batch_routes
from fsgateway.routes.routes_score import score_routes
from fsgateway.routes.routes_service import service_routes
from fsgateway.server_behind import ServerBehind
from fsgateway.telemetry import Telemetry

_KINDS = {404: "not-found", 405: "method-not-allowed"}


def make_app(behind: ServerBehind, *, limits: GatewayLimits, token: str | None) -> FastAPI:
    """Return the gateway as an ASGI application.

    Args:
        behind: The server; the caller opens, watches and closes it.
        limits: What callers may ask.
        token: What callers must send; None lets everybody in.
    """
    telemetry = Telemetry()
    gateway = Gateway(behind=behind, admission=Admission(limits), limits=limits, telemetry=telemetry)
    app = FastAPI(
        title="FaceStats gateway",
        version=version("facestats"),
        summary="Photos in, faces out: boxes, landmarks, embeddings and what the served heads say of them.",
        # FastAPI's pages for people load scripts from another host.
        docs_url=None,
        redoc_url=None,
        # The address of a redirection would be made of the caller's Host header.
        redirect_slashes=False,
    )
    for router in (score_routes(gateway), batch_routes(gateway), service_routes(gateway)):
        app.include_router(router)
    _answer_errors(app, telemetry)
    _describe(app, has_token=token is not None)
    app.add_middleware(Envelope, access=Access(token), telemetry=telemetry, linger_s=limits.linger_s)
    return app


def _answer_errors(app: FastAPI, telemetry: Telemetry) -> None:
    """Have what the framework and the client library raise answered as problems."""

    def answered(request: Request, problem: Problem) -> Response:
        telemetry.count_problem(problem.kind)
        return problem.response(request.state.request_id)

    @app.exception_handler(HTTPException)
    async def of_framework(request: Request, exc: HTTPException) -> Response:
        kind = _KINDS.get(exc.status_code, "bad-request")
        detail = "see /openapi.json for routes and methods"
        return answered(request, Problem(kind, detail, exc.headers))

    @app.exception_handler(RequestValidationError)
    async def of_parameters(request: Request, exc: RequestValidationError) -> Response:
        names = ", ".join(sorted({str(error["loc"][-1]) for error in exc.errors()}))
        return answered(request, Problem("invalid-request", f"{names} must be true or false"))

    @app.exception_handler(FaceStatsError)
    async def of_client(request: Request, exc: FaceStatsError) -> Response:
        fields = {"request_id": request.state.request_id, "kind": type(exc).__name__}
        requests_log.warning("%s", exc, extra={FIELDS: fields})
        return answered(request, problem_of(exc))


def _describe(app: FastAPI, *, has_token: bool) -> None:
    """Add to OpenAPI what FastAPI cannot see: the schemas of the answers, and the token."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        described = make()
        described.setdefault("components", {})["schemas"] = components()
        if has_token:
            described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            described["security"] = [{"token": []}]
        return described

    app.openapi = openapi  # type: ignore[method-assign]
