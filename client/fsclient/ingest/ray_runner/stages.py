"""The two stages of Ray Data: tasks that read photos, and actors that have them scored."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
from ray.exceptions import RayError

from fsclient.ingest.ray_runner.block_scorer import BlockScorer, Work
from fsclient.ingest.ray_runner.blocks import ReadOutcome, answer_block, numbered_block, numbered_items
from fsclient.ingest.ray_runner.stop_sign import Stop
from fsclient.photos.photo_file import Photo, made_ready
from fsengine.errors import FaceStatsError
from fsengine.photo.gate import judge

if TYPE_CHECKING:
    from fsclient.photos.entry import PhotoEntry

_READERS = 4
"""Photos that a task reads at once: those of a store take most of their time to begin."""

_HEED_S = 0.5


def read_entries(entries: pa.Table, sign: Any) -> Iterator[pa.Table]:
    """Read the photos of a block of entries, and yield each as it is read; none where the run shall end.

    Args:
        entries: See `blocks.numbered_block`.
        sign: The actor that is the run's `StopSign`.
    """
    if _says_stop(sign):
        yield numbered_block([])
        return
    items = list(numbered_items(entries))
    with ThreadPoolExecutor(_READERS) as readers:
        for (number, _), photo in zip(items, readers.map(_read, (pickled for _, pickled in items)), strict=True):
            yield numbered_block([(number, photo)])


def _says_stop(sign: Any) -> bool:
    """Return whether a run shall end; a sign that cannot be asked says nothing."""
    try:
        return bool(ray.get(sign.now.remote(), timeout=5.0) is not Stop.GO)
    except RayError:
        return False


def _read(pickled: bytes) -> bytes:
    """Return the pickled `ReadOutcome` of a pickled entry."""
    entry: PhotoEntry = pickle.loads(pickled)  # noqa: S301 - from the process that began this run
    started = time.perf_counter()
    photo: Photo | FaceStatsError
    try:
        photo = servable(entry.read())
    except FaceStatsError as exc:
        photo = exc
    read_s = time.perf_counter() - started
    return pickle.dumps(ReadOutcome(photo=photo, read_s=read_s), pickle.HIGHEST_PROTOCOL)


def servable(photo: Photo) -> Photo:
    """Return a photo as a server gets it, judged as what it is then, so that nobody converts it again."""
    if photo.data is None or photo.gate is None or photo.gate.is_plain:
        return photo
    ready = made_ready(photo)
    return ready if ready.data is None else replace(ready, gate=judge(ready.data))


class ScoringActor:
    """A worker of a run: it holds one way to a server, and scores several blocks at once, each in a thread's call."""

    def __init__(self, work: Work, sign: Any) -> None:
        """Start its event loop.

        Args:
            work: What it is for.
            sign: The actor that is the run's `StopSign`.
        """
        self._loop = asyncio.new_event_loop()
        self._scorer = BlockScorer(work)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        threading.Thread(target=self._heed, args=(sign,), daemon=True).start()

    def __call__(self, photos: pa.Table) -> pa.Table:
        """Return the answer for a block of photos."""
        items = list(numbered_items(photos))
        return answer_block(asyncio.run_coroutine_threadsafe(self._scorer.answer(items), self._loop).result())

    def _heed(self, sign: Any) -> None:
        """Do what the sign says."""
        stop = Stop.GO
        while stop is not Stop.GIVE_UP:
            try:
                asked = sign.more_than.remote(stop)
                # A process whose thread waits in Ray itself ends only when it is killed.
                while not ray.wait([asked], timeout=_HEED_S)[0]:
                    time.sleep(0.0)
                stop = ray.get(asked)
                self._loop.call_soon_threadsafe(self._scorer.stop, stop)
            except RayError:
                time.sleep(_HEED_S)  # it was lost, and is started again
