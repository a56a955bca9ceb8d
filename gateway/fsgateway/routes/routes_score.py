"""`POST /v1/score`: one photo, or a few."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from fsgateway.bodies.form_photos import photos_of_form
from fsgateway.bodies.request_body import RequestBody
from fsgateway.bodies.sent_photos import (
    FORM,
    JSON,
    JSON_LINES,
    SentPhoto,
    check_number,
    photos_of_json,
)
from fsgateway.photo_answers import JPEG, PNG, Gateway, while_wanted
from fsgateway.problems import Problem
from fsgateway.routes.openapi_examples import PHOTO_EXAMPLE, SCORE_BODY
from fsgateway.routes.openapi_schemas import PHOTO, problem_responses, ref

_NAMES = frozenset({"embedding", "draw"})

EmbeddingParameter = Annotated[bool, Query(description="Whether faces get their embeddings.")]


def score_routes(gateway: Gateway) -> APIRouter:
    """Return the route that scores photos of one request."""
    router = APIRouter()

    @router.post(
        "/v1/score",
        summary="Score one photo, or a few",
        description=(
            "One photo (the body, `image`, or a form with one file) answers one object; `images`, or a form with "
            "several files, answers a list in the order sent. A photo that cannot be decoded is an answer too: see "
            "`status` and `reason`."
        ),
        response_class=Response,
        responses={
            200: {
                "description": "What was found; with `draw`, the photo with it drawn on",
                "content": {
                    JSON: {
                        "schema": {"oneOf": [ref(PHOTO), {"type": "array", "items": ref(PHOTO)}]},
                        "example": PHOTO_EXAMPLE,
                    },
                    JPEG: {"schema": {"type": "string", "format": "binary"}},
                    PNG: {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **problem_responses(
                "slow-body",
                "too-large",
                "unsupported-body",
                "invalid-request",
                "busy",
                "server-failed",
                "server-unavailable",
                "deadline",
            ),
        },
        openapi_extra=SCORE_BODY,
    )
    async def score(
        request: Request,
        embedding: EmbeddingParameter = False,
        draw: Annotated[
            bool,
            Query(
                description="Whether to answer the photo with what was found drawn on: JPEG, or PNG as `Accept` says."
            ),
        ] = False,
    ) -> Response:
        check_query(request, _NAMES)
        with gateway.admission.request() as held:
            photos, as_list = await photos_of(RequestBody(request, gateway.limits, held))
            if draw:
                if as_list or embedding:
                    raise Problem("invalid-request", "draw is about one photo, and goes without embedding")
                wanted = PNG if PNG in request.headers.get("accept", "") else JPEG
                work = gateway.picture(photos[0], wanted)
                picture, media_type = await while_wanted(request, work, gateway.limits.deadline_s)
                return Response(picture, media_type=media_type)
            if as_list:
                several = gateway.several(photos, embedding=embedding)
                scored = await while_wanted(request, several, gateway.limits.deadline_s)
                return Response(msgspec.json.encode([photo.to_dict() for photo in scored]), media_type=JSON)
            one = gateway.one(photos[0], embedding=embedding)
            answer = await while_wanted(request, one, gateway.limits.deadline_s)
            return Response(msgspec.json.encode(answer.to_dict()), media_type=JSON)

    return router


def check_query(request: Request, names: frozenset[str]) -> None:
    """Refuse parameters that are not known: a misspelt one must not be overlooked.

    Raises:
        Problem: There is one.
    """
    if request.query_params.keys() - names:
        known = " and ".join(sorted(names))
        raise Problem("invalid-request", f"the address has a parameter that is not known; expected {known} alone")


async def photos_of(body: RequestBody) -> tuple[list[SentPhoto], bool]:
    """Return the photos of a request, and whether its answer is a list.

    Raises:
        Problem: The body is no photo and holds none, or too much.
        ClientGoneError: The caller closed the connection.
    """
    if body.media_type == FORM:
        photos = []
        async for photo in photos_of_form(body):
            photos.append(photo)
            if photo.problem is not None:
                raise photo.problem
            check_number(len(photos), body)
        check_number(len(photos), body)
        return photos, len(photos) > 1
    if body.media_type == JSON:
        photos, as_list = await photos_of_json(body)
        for photo in photos:
            if photo.problem is not None:
                raise photo.problem
        return photos, as_list
    if body.media_type.startswith("multipart/") or body.media_type in JSON_LINES or body.media_type.endswith("+json"):
        raise Problem(
            "unsupported-body",
            f"the Content-Type is not read here; expected {FORM}, {JSON}, or a photo as the body with any other type "
            "(JSON Lines go to /v1/score/batch)",
        )
    return [SentPhoto(data=await body.whole(body.limits.photo_bytes, "a photo"))], False
