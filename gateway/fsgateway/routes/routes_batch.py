"""`POST /v1/score/batch`: any number of photos in, their answers out as JSON Lines as soon as each is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from fsengine.errors import FaceStatsError, ServerBusyError, ServerUnavailableError
from fsgateway.admission import HeldBytes
from fsgateway.bodies.form_photos import photos_of_form
from fsgateway.bodies.request_body import RequestBody
from fsgateway.bodies.sent_photos import FORM, JSON, JSON_LINES, SentPhoto, photos_of_lines
from fsgateway.photo_answers import Gateway, end, until_gone
from fsgateway.problems import ClientGoneError, Problem, problem_of
from fsgateway.routes.openapi_examples import BATCH_BODY, BATCH_LINE_EXAMPLE
from fsgateway.routes.openapi_schemas import BATCH_LINE, problem_responses, ref
from fsgateway.routes.routes_score import EmbeddingParameter, check_query

LINES = "application/x-ndjson"


def batch_routes(gateway: Gateway) -> APIRouter:
    """Return the route that scores a stream of photos."""
    router = APIRouter()

    @router.post(
        "/v1/score/batch",
        summary="Score any number of photos, each answered as soon as it is there",
        description=(
            "Answers come while the request is still being sent: read them as you send, or keep a batch to a few "
            "hundred photos. They come in the order in which they are ready; `index` and `id` say of which photo."
        ),
        response_class=Response,
        responses={
            200: {
                "description": "A line for each photo",
                "content": {LINES: {"schema": ref(BATCH_LINE), "example": BATCH_LINE_EXAMPLE}},
            },
            **problem_responses("slow-body", "unsupported-body", "invalid-request", "busy", "server-unavailable"),
        },
        openapi_extra=BATCH_BODY,
    )
    async def batch(request: Request, embedding: EmbeddingParameter = False) -> Response:
        check_query(request, frozenset({"embedding"}))
        return _BatchAnswer(request, gateway, embedding=embedding)

    return router


class _BatchAnswer(Response):
    """Reads the request while it answers; Starlette's own streaming would read the body to see the caller leave."""

    media_type = LINES

    def __init__(self, request: Request, gateway: Gateway, *, embedding: bool) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._request = request
        self._gateway = gateway
        self._embedding = embedding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        with self._gateway.admission.request(batch=True) as held:
            body = RequestBody(self._request, self._gateway.limits, held, endless=True)
            photos = _photos_of(body)
            # The first one before the answer begins: what is wrong with the request as a whole has a status.
            first = await anext(photos, None)
            if first is None:
                raise Problem("invalid-request", "the request holds no photo; expected one or more")
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            batch = _Batch(self._request, self._gateway, held, embedding=self._embedding)
            async for line in batch.lines(first, photos):
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


class _Batch:
    """Photos of one batch: a few at a time are read, scored and answered."""

    def __init__(self, request: Request, gateway: Gateway, held: HeldBytes, *, embedding: bool) -> None:
        self._request = request
        self._gateway = gateway
        self._held = held
        self._embedding = embedding
        self._room = asyncio.Semaphore(gateway.limits.batch_window)
        self._ready: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._scoring: set[asyncio.Task[None]] = set()
        self._unavailable: Problem | None = None

    async def lines(self, first: SentPhoto, others: AsyncIterator[SentPhoto]) -> AsyncIterator[bytes]:
        """Yield the answers.

        Args:
            first: Of the photos.
            others: All after it.

        Raises:
            ClientGoneError: The caller closed the connection.
        """
        reading = asyncio.create_task(self._read(first, others))
        try:
            while (line := await self._ready.get()) is not None:
                if isinstance(line, BaseException):
                    raise line
                yield line
                self._room.release()
        finally:
            await end([reading, *self._scoring])

    async def _read(self, first: SentPhoto, others: AsyncIterator[SentPhoto]) -> None:
        """Read photos as there is room for them, have them scored, and see the caller leave."""
        last: bytes | BaseException | None = None
        gone: asyncio.Task[None] | None = None
        try:
            await self._begin(0, first)
            index = 1
            async for photo in others:
                await self._begin(index, photo)
                index += 1
                if self._unavailable is not None:
                    raise self._unavailable
            gone = asyncio.create_task(until_gone(self._request))
            while self._scoring:
                await asyncio.wait([gone, *self._scoring], return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    raise ClientGoneError
        except Problem as problem:
            await asyncio.gather(*self._scoring)
            last = self._line(None, None, problem=problem)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it must end the answer too
            last = exc
        finally:
            if gone is not None:
                await end([gone])
            if last is not None:
                self._ready.put_nowait(last)
            self._ready.put_nowait(None)

    async def _begin(self, index: int, photo: SentPhoto) -> None:
        """Have a photo scored, and wait until there is room to read another."""
        task = asyncio.create_task(self._score(index, photo))
        self._scoring.add(task)
        task.add_done_callback(self._scoring.discard)
        await self._room.acquire()

    async def _score(self, index: int, photo: SentPhoto) -> None:
        line: bytes | BaseException
        try:
            work = self._gateway.one_of_many(photo, embedding=self._embedding)
            scored = await asyncio.wait_for(work, self._gateway.limits.deadline_s)
            line = self._line(index, photo.id, photo=scored.to_dict())
        except asyncio.TimeoutError:
            line = self._line(index, photo.id, problem=Problem("deadline", "the answer was not there in time"))
        except Problem as problem:
            line = self._line(index, photo.id, problem=problem)
        except FaceStatsError as exc:
            failed = problem_of(exc)
            if isinstance(exc, ServerUnavailableError) and not isinstance(exc, ServerBusyError):
                self._unavailable = Problem(failed.kind, "the server went away, and the rest of the batch was not read")
            line = self._line(index, photo.id, problem=failed)
        except Exception as exc:  # noqa: BLE001 - it ends the answer in its turn
            line = exc
        finally:
            self._held.release(len(photo.data))
        self._ready.put_nowait(line)

    def _line(
        self,
        index: int | None,
        id: str | int | None,  # noqa: A002
        *,
        photo: dict[str, Any] | None = None,
        problem: Problem | None = None,
    ) -> bytes:
        answer: dict[str, Any] = {"index": index, "id": id}
        if problem is not None:
            self._gateway.telemetry.count_problem(problem.kind)
            answer["problem"] = problem.to_dict(self._request.state.request_id)
        else:
            answer["photo"] = photo
        return msgspec.json.encode(answer) + b"\n"


def _photos_of(body: RequestBody) -> AsyncIterator[SentPhoto]:
    """Yield the photos of a batch.

    Raises:
        Problem: The body is of another kind.
    """
    if body.media_type == FORM:
        return photos_of_form(body)
    if body.media_type in (*JSON_LINES, JSON):
        return photos_of_lines(body)
    raise Problem("unsupported-body", f"the Content-Type is not read here; expected {LINES} or {FORM}")
