"""Many photos scored: what `score_many` of both clients takes beside them, and their answers in order."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterable, AsyncIterator, Callable

from fsclient.photos.given import GivenPhoto
from fsclient.score.answers import ScoredPhoto
from fsengine.errors import InferenceError, InvalidInputError

OnUnanswered = Callable[[GivenPhoto, InferenceError], None]
"""Called with a photo that the server did not answer, and why."""

SCORE_CONCURRENCY = 16
"""Photos in flight."""


def checked_concurrency(concurrency: int) -> int:
    """Return a number of photos in flight.

    Raises:
        InvalidInputError: It is below 1.
    """
    if not isinstance(concurrency, int) or concurrency < 1:
        raise InvalidInputError(f"concurrency is {concurrency!r}, expected a whole number, 1 or more")
    return concurrency


async def in_order(
    photos: AsyncIterable[GivenPhoto],
    begin: Callable[[GivenPhoto], asyncio.Task[ScoredPhoto]],
    most: int,
    on_unanswered: OnUnanswered | None,
) -> AsyncIterator[ScoredPhoto]:
    """Yield the answers of photos in their order, several of them begun at once.

    Args:
        photos: Taken as they are needed.
        begin: Begins to score one.
        most: Photos that are held at most, waiting answers included.
        on_unanswered: Called with each photo that was not answered, in its turn, and why; None raises the first error.
    """
    waiting: collections.deque[tuple[GivenPhoto, asyncio.Task[ScoredPhoto]]] = collections.deque()

    async def next_answer() -> ScoredPhoto | None:
        photo, task = waiting.popleft()
        try:
            return await task
        except InferenceError as exc:
            if on_unanswered is None:
                raise
            on_unanswered(photo, exc)
            return None

    try:
        async for photo in photos:
            waiting.append((photo, begin(photo)))
            if len(waiting) >= most and (answer := await next_answer()) is not None:
                yield answer
        while waiting:
            if (answer := await next_answer()) is not None:
                yield answer
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
