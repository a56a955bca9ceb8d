"""Photos scored in one event loop, many in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_retries import RetryPolicy
from fsclient.photos.pixel_room import MAX_PIXELS_IN_FLIGHT, PixelRoom
from fsclient.score.photo_request import score_file
from fsdata.results.rows import PhotoRow
from fsengine.errors import DeadlineError, FaceStatsError, ServerUnavailableError

NextPath = Callable[[], Awaitable[bytes | None]]
"""Gives the path of the next photo, or None where there is none left."""

OnScored = Callable[[PhotoRow], Awaitable[None]]
"""Called with the row of each photo."""

OnLeft = Callable[[bytes, FaceStatsError], object]
"""Called with each photo that the server could not be had for, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How photos are scored.

    Attributes:
        outputs: Per-face outputs of the ensemble to ask for.
        model_set_id: What the server must serve.
        retry: What to do when the server is not to be had.
        concurrency: Photos in flight.
        pixels: Their pixels at most.
    """

    outputs: tuple[str, ...]
    model_set_id: str
    retry: RetryPolicy
    concurrency: int
    pixels: int = MAX_PIXELS_IN_FLIGHT


class PhotoWorkers:
    """Scores photos until none is left, or it is told to stop.

    Attributes:
        is_stopped: Whether no further photo is taken.
    """

    def __init__(
        self, scoring: Scoring, backend: InferenceBackend, next_path: NextPath, on_scored: OnScored, on_left: OnLeft
    ) -> None:
        """Prepare; `run` begins."""
        self._scoring = scoring
        self._backend = backend
        self._next_path = next_path
        self._on_scored = on_scored
        self._on_left = on_left
        self._room = PixelRoom(scoring.pixels)
        self._workers: list[asyncio.Task[None]] = []
        self._has_given_up = False
        self.is_stopped = False

    async def run(self) -> None:
        """Score photos.

        Raises:
            InferenceError: The server serves another model set than before, or refused.
            Exception: Whatever `on_scored` raises. In all cases photos in flight were finished, and the rest was left.
        """
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._scoring.concurrency)]
        for outcome in await asyncio.gather(*self._workers, return_exceptions=True):
            if isinstance(outcome, BaseException) and not (
                self._has_given_up and isinstance(outcome, asyncio.CancelledError)
            ):
                raise outcome

    def stop(self) -> None:
        """Take no further photo; those in flight are finished."""
        self.is_stopped = True

    def give_up(self) -> None:
        """Give up the photos in flight too."""
        self.is_stopped = self._has_given_up = True
        for worker in self._workers:
            worker.cancel()

    async def _work(self) -> None:
        """Score photos one after the other."""
        while not self.is_stopped and (path := await self._next_path()) is not None:
            try:
                await self._on_scored(await self._score(path))
            except DeadlineError as exc:
                self._on_left(path, exc)
            except ServerUnavailableError as exc:
                self._on_left(path, exc)
                self.stop()
            except BaseException:
                self.stop()
                raise

    async def _score(self, path: bytes) -> PhotoRow:
        return await score_file(
            path,
            self._backend,
            self._scoring.outputs,
            retry=self._scoring.retry,
            expected_model_set_id=self._scoring.model_set_id,
            room=self._room,
        )
