"""Photos read ahead and scored in one event loop, many in flight."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_retries import RetryPolicy
from fsclient.ingest.daemon_threads import DaemonExecutor
from fsclient.photos.entry import PhotoEntry
from fsclient.photos.photo_file import Photo
from fsclient.photos.room import MAX_PIXELS_IN_FLIGHT, Room
from fsclient.score.photo_request import score_photo
from fsdata.results.rows import PhotoRow
from fsengine.errors import DeadlineError, FaceStatsError, ServerUnavailableError, StoreUnavailableError
from fsengine.files.stores.store_urls import is_url

T = TypeVar("T")

NextEntry = Callable[[], Awaitable[PhotoEntry | None]]
"""Gives the next photo, or None where there is none left."""

OnScored = Callable[[PhotoRow], Awaitable[None]]
"""Called with the row of each photo."""

OnLeft = Callable[[str, FaceStatsError], object]
"""Called with the source of each photo that server or store could not be had for, and why."""

_READERS_OF_STORES = 4
"""For each photo in flight, where photos come from stores or web servers; of a disk one for each is enough."""

_MOST_READERS = 64
_READ_AHEAD = 2
"""Photos that were read and wait, for each reader."""

_MOST_BYTES_READ = 256 << 20
"""Of photos that are read, or being read, and not scored yet."""

_BYTES_OF_A_PHOTO = 4 << 20
"""Where nothing says how large it is."""

_MOST_LEFT_IN_A_ROW = 16
"""Photos that a bucket or a host could not be had for, one after the other, before its others are left unasked."""


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


@dataclass(frozen=True, slots=True)
class _ReadPhoto:
    """A photo that waits to be scored, and the bytes of the reading room that it holds."""

    photo: Photo
    read_s: float
    held: int


class PhotoWorkers:
    """Scores photos until none is left, or it is told to stop.

    Photos are read by threads ahead of those that are scored, so that a store that answers late idles no server.

    Attributes:
        is_stopped: Whether no further photo is taken.
    """

    def __init__(
        self, scoring: Scoring, backend: InferenceBackend, next_entry: NextEntry, on_scored: OnScored, on_left: OnLeft
    ) -> None:
        """Prepare; `run` begins."""
        self._scoring = scoring
        self._backend = backend
        self._next_entry = next_entry
        self._on_scored = on_scored
        self._on_left = on_left
        self._pixels = Room(scoring.pixels)
        self._bytes = Room(_MOST_BYTES_READ)
        self._ready: asyncio.Queue[_ReadPhoto | None] = asyncio.Queue()
        self._places = asyncio.Semaphore(0)
        self._threads = DaemonExecutor(_MOST_READERS, "facestats-read")
        self._readers: list[asyncio.Task[None]] = []
        self._reads_far = False
        self._tasks: list[asyncio.Task[None]] = []
        self._idle: set[asyncio.Task[Any]] = set()
        self._left_in_a_row: collections.Counter[str] = collections.Counter()
        self._has_given_up = False
        self.is_stopped = False

    async def run(self) -> None:
        """Score photos.

        Raises:
            InferenceError: The server serves another model set than before, or refused.
            Exception: Whatever `on_scored` raises. In all cases photos in flight were finished, and the rest was left.
        """
        try:
            self._add_readers(self._scoring.concurrency)
            scorers = [asyncio.create_task(self._score_on()) for _ in range(self._scoring.concurrency)]
            reading = asyncio.create_task(self._end_of_reading())
            self._tasks += [*scorers, reading]
            outcomes = await asyncio.gather(reading, *scorers, return_exceptions=True)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            # A store may leave a thread waiting for a minute, which nobody needs.
            self._threads.shutdown(wait=False, cancel_futures=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not (
                self._has_given_up and isinstance(outcome, asyncio.CancelledError)
            ):
                raise outcome

    def stop(self) -> None:
        """Take no further photo; those in flight are finished."""
        self.is_stopped = True
        for reader in [*self._idle]:
            reader.cancel()

    def give_up(self) -> None:
        """Give up the photos in flight too."""
        self.is_stopped = self._has_given_up = True
        for task in self._tasks:
            task.cancel()

    def _add_readers(self, wanted: int) -> None:
        """Have so many readers, and room for two photos that each has read."""
        for _ in range(min(wanted, _MOST_READERS) - len(self._readers)):
            reader = asyncio.create_task(self._read_on())
            self._readers.append(reader)
            self._tasks.append(reader)
            for _ in range(_READ_AHEAD):
                self._places.release()

    async def _end_of_reading(self) -> None:
        """Let the scorers end once every reader has."""
        while waiting := [reader for reader in self._readers if not reader.done()]:
            await asyncio.wait(waiting)
        for _ in range(self._scoring.concurrency):
            self._ready.put_nowait(None)
        for reader in self._readers:
            await reader

    async def _read_on(self) -> None:
        """Read photos one after the other."""
        while not self.is_stopped and await self._unless_stopped(self._places.acquire()):
            if (entry := await self._unless_stopped(self._next_entry())) is None:
                return
            host = _host_of(entry.source)
            if host and not self._reads_far:
                self._reads_far = True
                self._add_readers(_READERS_OF_STORES * self._scoring.concurrency)
            if self._left_in_a_row[host] >= _MOST_LEFT_IN_A_ROW:
                self._leave(entry, StoreUnavailableError(f"{host} could not be had for those before it"))
                continue
            wanted = entry.num_bytes if entry.num_bytes >= 0 else _BYTES_OF_A_PHOTO
            if (held := await self._unless_stopped(self._bytes.take(wanted))) is None:
                return
            try:
                read = await self._read(entry, held)
            except StoreUnavailableError as exc:
                self._bytes.give_back(held)
                self._left_in_a_row[host] += 1
                self._leave(entry, exc)
                continue
            except BaseException:
                self._bytes.give_back(held)
                self.stop()
                raise
            self._left_in_a_row.pop(host, None)
            self._ready.put_nowait(read)

    async def _read(self, entry: PhotoEntry, held: int) -> _ReadPhoto:
        started = time.perf_counter()
        photo = await asyncio.get_running_loop().run_in_executor(self._threads, entry.read)
        return _ReadPhoto(photo, time.perf_counter() - started, held)

    def _leave(self, entry: PhotoEntry, error: FaceStatsError) -> None:
        self._places.release()
        self._on_left(entry.source, error)

    async def _unless_stopped(self, waited_for: Awaitable[T]) -> T | None:
        """Wait for something; stopping ends the wait, with None."""
        reader = asyncio.current_task()
        assert reader is not None
        self._idle.add(reader)
        try:
            return await waited_for
        except asyncio.CancelledError:
            if self.is_stopped:
                return None
            raise
        finally:
            self._idle.discard(reader)

    async def _score_on(self) -> None:
        """Score photos one after the other."""
        # Before Python 3.12 `asyncio.wait_for` forgets that it was cancelled where an answer comes at the same moment.
        while not self._has_given_up and (read := await self._ready.get()) is not None:
            self._places.release()
            if self.is_stopped:
                self._bytes.give_back(read.held)
                continue
            source = read.photo.file.source
            try:
                row = await score_photo(
                    read.photo,
                    self._backend,
                    self._scoring.outputs,
                    read_s=read.read_s,
                    retry=self._scoring.retry,
                    expected_model_set_id=self._scoring.model_set_id,
                    room=self._pixels,
                )
                await self._on_scored(row)
            except DeadlineError as exc:
                self._on_left(source, exc)
            except ServerUnavailableError as exc:
                self._on_left(source, exc)
                self.stop()
            except BaseException:
                self.stop()
                raise
            finally:
                self._bytes.give_back(read.held)


def _host_of(source: str) -> str:
    """Return the bucket or the host that a photo comes from; empty for a file."""
    return "/".join(source.split("/")[:3]) if is_url(source) else ""
