"""Photos of a request, scored in their turn: not longer than the deadline, and not when the caller is gone."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fastapi import Request

from fsclient.score.answers import ScoredPhoto
from fsengine.errors import FaceStatsError
from fsgateway.admission import Admission
from fsgateway.bodies.sent_photos import SentPhoto
from fsgateway.gateway_limits import GatewayLimits
from fsgateway.problems import ClientGoneError, Problem
from fsgateway.server_behind import ServerBehind
from fsgateway.telemetry import Telemetry

T = TypeVar("T")

JPEG = "image/jpeg"
PNG = "image/png"
_JPEG_QUALITY = 90
_LONGEST_JPEG_PX = 65_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What the routes share.

    Attributes:
        behind: The server.
        admission: Who may use it.
        limits: What callers may ask.
        telemetry: Counts what is done.
    """

    behind: ServerBehind
    admission: Admission
    limits: GatewayLimits
    telemetry: Telemetry

    async def one(self, photo: SentPhoto, *, embedding: bool) -> ScoredPhoto:
        """Score a photo that is alone in its request.

        Raises:
            Problem: It is too large, or its turn did not come.
            FaceStatsError: See `ServerBehind.score`.
        """
        async with self.admission.photo():
            return await self._scored(photo, embedding=embedding)

    async def one_of_many(self, photo: SentPhoto, *, embedding: bool) -> ScoredPhoto:
        """Score a photo of a request with several; see `one`."""
        async with self.admission.one_of_many(self.limits.deadline_s):
            return await self._scored(photo, embedding=embedding)

    async def several(self, photos: Sequence[SentPhoto], *, embedding: bool) -> list[ScoredPhoto]:
        """Score photos, and return their answers in the order given; the first failure ends it.

        Raises:
            Problem: See `one`.
            FaceStatsError: The same.
        """
        tasks = [asyncio.create_task(self.one_of_many(photo, embedding=embedding)) for photo in photos]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            await end(tasks)

    async def picture(self, photo: SentPhoto, media_type: str) -> tuple[bytes, str]:
        """Score one photo and draw what was found on a copy of it.

        Args:
            photo: It.
            media_type: `JPEG`, or `PNG`; a drawing that is too large for JPEG is PNG all the same.

        Returns:
            The encoded drawing and its media type.

        Raises:
            Problem: It was not decoded, or cannot be drawn; see `one` too.
            FaceStatsError: See `ServerBehind.score`.
        """
        async with self.admission.photo():
            scored = await self._scored(photo, embedding=False)
            if scored.width is None:
                raise Problem(
                    "invalid-request", f"the photo is {scored.status.value}, so it cannot be drawn: {scored.reason}"
                )
            try:
                return await asyncio.to_thread(_drawn, photo.data, scored, media_type)
            except (FaceStatsError, OSError, ValueError, MemoryError) as exc:
                raise Problem("invalid-request", "the photo was scored, but cannot be drawn; leave draw out") from exc

    async def _scored(self, photo: SentPhoto, *, embedding: bool) -> ScoredPhoto:
        if photo.problem is not None:
            raise photo.problem
        scored = await self.behind.score(photo.data, embedding=embedding)
        self.telemetry.count_photo(scored.status.value, len(scored.faces))
        return scored if photo.source is None else replace(scored, source=photo.source)


async def while_wanted(request: Request, work: Coroutine[Any, Any, T], deadline_s: float) -> T:
    """Wait for an answer, but not longer than the caller or the deadline allows; what is not wanted is cancelled.

    Args:
        request: Whose body was read whole.
        work: Makes the answer.
        deadline_s: How long it may take.

    Raises:
        ClientGoneError: The caller closed the connection.
        Problem: It took too long.
        BaseException: What the work raises.
    """
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work), asyncio.create_task(until_gone(request))]
    done, gone = tasks
    try:
        await asyncio.wait(tasks, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            result: T = done.result()
            return result
        if gone.done():
            raise ClientGoneError
        raise Problem("deadline", f"the answer was not there within {deadline_s:g} s; try again, or send fewer photos")
    finally:
        await end(tasks)


async def until_gone(request: Request) -> None:
    """Wait until the caller of a request whose body was read whole closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _drawn(data: bytes, photo: ScoredPhoto, media_type: str) -> tuple[bytes, str]:
    from PIL import Image

    from fsclient.score.annotated_photo import annotated
    from fsengine.photo.convert import read_pixels

    drawing = annotated(Image.fromarray(read_pixels(data)), photo)
    buffer = io.BytesIO()
    if media_type == PNG or max(drawing.size) > _LONGEST_JPEG_PX:
        drawing.save(buffer, "PNG")
        return buffer.getvalue(), PNG
    drawing.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue(), JPEG
