"""Blocks of photos that were read, scored in one event loop, many photos in flight."""

from __future__ import annotations

import asyncio
import importlib.metadata
import pickle
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_retries import ask_again, check_model_set
from fsclient.ingest.photo_workers import Scoring
from fsclient.ingest.ray_runner.blocks import Answer, ReadOutcome, packed_rows
from fsclient.ingest.ray_runner.stop_sign import Stop
from fsclient.ingest.ray_runner.worker_servers import Servers
from fsclient.photos.photo_file import Photo
from fsclient.photos.room import Room
from fsclient.score.photo_request import score_photo
from fsdata.results.rows import PhotoRow, rows_table
from fsengine.errors import DeadlineError, FaceStatsError, ServerUnavailableError, StoreUnavailableError

_LEFT = (DeadlineError, ServerUnavailableError, StoreUnavailableError)
"""Errors that leave a photo unfinished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker is for.

    Attributes:
        servers: Whom it asks.
        scoring: How it scores photos.
        schema: Of its rows.
        version: Of this package, where the run was started.
        num_sharing: Workers that share what `scoring` allows.
    """

    servers: Servers
    scoring: Scoring
    schema: pa.Schema
    version: str
    num_sharing: int = 1


def own_version() -> str:
    """Return the version of this package."""
    return importlib.metadata.version("facestats")


def other_version_error(node: str, found: str, expected: str) -> FaceStatsError:
    """Return the error for a node that has another version of this package."""
    return FaceStatsError(
        f"node {node} of the Ray cluster has facestats {found}, and this run was started with {expected}: install the "
        "same version on every node"
    )


class BlockScorer:
    """Scores block after block, or several at once."""

    def __init__(self, work: Work) -> None:
        """Prepare; the first block has it connect."""
        self._work = work
        self._connecting = asyncio.Lock()
        self._backend: InferenceBackend | None = None
        self._places = asyncio.Semaphore(1)
        self._room = Room(max(1, work.scoring.pixels // work.num_sharing))
        self._stop = Stop.GO
        self._in_flight: set[asyncio.Task[PhotoRow]] = set()

    def stop(self, stop: Stop) -> None:
        """Begin no further photo, or give up those in flight too."""
        self._stop = max(self._stop, stop)
        if self._stop is Stop.GIVE_UP:
            for task in self._in_flight:
                task.cancel()

    async def answer(self, photos: Sequence[tuple[int, bytes]]) -> Answer:
        """Score photos.

        Args:
            photos: Numbers and pickles of `ReadOutcome`.
        """
        if not photos or self._stop is not Stop.GO:
            return Answer()
        try:
            backend = await self._connected()
        except (DeadlineError, ServerUnavailableError) as exc:
            self.stop(Stop.BEGIN_NONE)
            return Answer(left=[(photos[0][0], ServerUnavailableError(str(exc)))])
        except FaceStatsError as exc:
            self.stop(Stop.BEGIN_NONE)
            return Answer(error=exc)
        outcomes = await asyncio.gather(*(self._outcome(backend, pickled) for _, pickled in photos))
        return self._answer_of([number for number, _ in photos], outcomes)

    def _answer_of(self, numbers: Sequence[int], outcomes: Sequence[PhotoRow | FaceStatsError | None]) -> Answer:
        rows, of_rows, left = [], [], []
        error = None
        for number, outcome in zip(numbers, outcomes, strict=True):
            if isinstance(outcome, PhotoRow):
                rows.append(outcome)
                of_rows.append(number)
            elif isinstance(outcome, _LEFT):
                left.append((number, outcome))
            elif outcome is not None:
                error = outcome
        table = rows_table(rows, self._work.schema, self._work.scoring.model_set_id) if rows else None
        return Answer(
            numbers=of_rows,
            num_faces=[row.num_faces for row in rows],
            rows=b"" if table is None else packed_rows(table),
            left=left,
            error=error,
        )

    async def _connected(self) -> InferenceBackend:
        """Return the server, checked once to serve what it shall."""
        async with self._connecting:
            if self._backend is None:
                if (found := own_version()) != self._work.version:
                    raise other_version_error(platform.node(), found, self._work.version)
                connected = await asyncio.to_thread(self._work.servers.connect)
                scoring = self._work.scoring
                backend = connected.backend
                try:
                    await ask_again(lambda _: check_model_set(backend, scoring.model_set_id), scoring.retry)
                except BaseException:
                    await backend.close()
                    raise
                room = min(scoring.concurrency, connected.photos_in_flight or scoring.concurrency)
                self._places = asyncio.Semaphore(max(1, room // self._work.num_sharing))
                self._backend = backend
        return self._backend

    async def _outcome(self, backend: InferenceBackend, pickled: bytes) -> PhotoRow | FaceStatsError | None:
        """Return the row of a photo, why it has none, or None where it was not begun or was given up."""
        async with self._places:
            if self._stop is not Stop.GO:
                return None
            read: ReadOutcome = pickle.loads(pickled)  # noqa: S301 - from a worker of this run
            if isinstance(read.photo, FaceStatsError):
                return read.photo
            task = asyncio.ensure_future(self._row(backend, read.photo, read.read_s))
            self._in_flight.add(task)
            try:
                await asyncio.wait([task])
            finally:
                self._in_flight.discard(task)
            if task.cancelled():
                return None
            error = task.exception()
            if error is None:
                return task.result()
            if not isinstance(error, FaceStatsError):
                raise error
            if not isinstance(error, (DeadlineError, StoreUnavailableError)):
                self.stop(Stop.BEGIN_NONE)
            return error

    async def _row(self, backend: InferenceBackend, photo: Photo, read_s: float) -> PhotoRow:
        scoring = self._work.scoring
        return await score_photo(
            photo,
            backend,
            scoring.outputs,
            read_s=read_s,
            retry=scoring.retry,
            expected_model_set_id=scoring.model_set_id,
            room=self._room,
        )
