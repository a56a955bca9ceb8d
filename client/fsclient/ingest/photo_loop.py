"""Score photos, many in flight, a row for each, into parts that survive anything."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

import pyarrow as pa

from fsclient.backend.protocol import InferenceBackend
from fsclient.ingest.entry_feed import EntryFeed
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.part_buffer import PartBuffer
from fsclient.ingest.photo_workers import OnLeft, PhotoWorkers, Scoring
from fsclient.ingest.processes.worker_pool import WORTH_A_PROCESS, OnRows, WorkerPool, usual_processes
from fsclient.ingest.reporting.progress import OnScored
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.resume import Plan, refuse_other_embedding, refuse_other_set
from fsclient.ingest.settings import IngestConfig, Runner
from fsclient.photos.finding.tally import MOST_NAMED
from fsclient.photos.room import MAX_PIXELS_IN_FLIGHT
from fsdata.results.parts import PartWriter
from fsdata.results.rows import PhotoRow
from fsdata.results.schema import face_outputs, part_schema
from fsengine.contracts.served import ServedEnsemble
from fsengine.contracts.steps import LARGE_PHOTO_PIXELS
from fsengine.errors import FaceStatsError, InvalidInputError
from fsengine.terminal.messages import printable

if TYPE_CHECKING:
    from fsclient.ingest.ray_runner.ray_pool import RayPool

logger = logging.getLogger(__name__)

_LOOK_AHEAD_S = 1.0
"""How long a run waits to know how many photos there are, before it chooses its number of processes."""


async def ingest_photos(
    config: IngestConfig,
    plan: Plan,
    backend: InferenceBackend,
    on_scored: OnScored,
    interruption: Interruption | None = None,
    feed: EntryFeed | None = None,
) -> IngestSummary:
    """Score every photo that a plan leaves to do and write parts.

    The folder must be held by `fsdata.results.parts.locked`.

    Args:
        config: The run.
        plan: What is left to do; its summary goes on counting.
        backend: What runs the models.
        on_scored: Called as photos are scored.
        interruption: How the run may be told to stop.
        feed: What finds the photos of the plan, where that was begun.

    Returns:
        What was done. An interruption and an unavailable server end a run early with everything done written; so does
        cancelling it.

    Raises:
        FaceStatsError: The folder cannot be continued or written to, or the server serves something else.
    """
    served = await backend.served()
    refuse_other_set(config.out, plan.ledger, served.models.model_set_id)
    refuse_other_embedding(config, plan.ledger)
    if not config.embedding:
        served = served.without_embedding()
    plan.summary.served = served
    feed = feed or EntryFeed(plan.entries())
    try:
        run = await _Run.prepared(config, plan, backend, on_scored, feed)
        return await run.run(interruption or Interruption())
    finally:
        plan.stop()
        feed.close()
        await feed.ended()


def _scoring(config: IngestConfig, backend: InferenceBackend, served: ServedEnsemble, num_photos: int) -> Scoring:
    """Return how photos are scored."""
    capacity = backend.capacity
    concurrency = config.concurrency or capacity.photos_in_flight
    if config.runner is Runner.LOCAL:
        concurrency = min(concurrency, num_photos)
    pixels = MAX_PIXELS_IN_FLIGHT
    if capacity.large_alone:
        pixels = max(pixels, concurrency * LARGE_PHOTO_PIXELS)
    return Scoring(
        outputs=tuple(face_outputs(served)),
        model_set_id=served.models.model_set_id,
        retry=config.retry,
        concurrency=concurrency,
        pixels=pixels,
    )


class _Run:
    """The state of one run inside its event loop."""

    def __init__(
        self,
        config: IngestConfig,
        plan: Plan,
        backend: InferenceBackend,
        on_scored: OnScored,
        feed: EntryFeed,
        num_known: int,
    ) -> None:
        served = plan.summary.served
        assert served is not None
        schema = part_schema(served)
        writer = PartWriter(plan.numbers, schema, served.models.model_set_id)
        self._plan = plan
        self._summary = plan.summary
        self._on_scored = on_scored
        self._parts = PartBuffer(writer, self._summary.count, part_size=config.part_size, part_s=config.part_s)
        self._feed = feed
        self._workers = self._workers_of(config, backend, _scoring(config, backend, served, num_known), schema)

    def _workers_of(
        self, config: IngestConfig, backend: InferenceBackend, scoring: Scoring, schema: pa.Schema
    ) -> PhotoWorkers | WorkerPool | RayPool:
        """Return those who score: of a cluster, in several processes, or here."""
        connect = backend.connect_again
        if config.runner is Runner.RAY:
            return _ray_pool(backend, scoring, schema, self._feed, self._add_table, self._leave)
        if connect is None and (config.processes or 1) > 1:
            raise InvalidInputError("several processes need a server to connect to, and this backend is none")
        wanted = config.processes or usual_processes(scoring.concurrency, self._feed.num_known, _num_cores())
        if connect is not None and (num_processes := min(wanted, scoring.concurrency)) > 1:
            return WorkerPool(
                connect, scoring, schema, self._feed, self._add_table, self._leave, num_processes=num_processes
            )
        return PhotoWorkers(scoring, backend, self._feed.next, self._add, self._leave)

    @classmethod
    async def prepared(
        cls, config: IngestConfig, plan: Plan, backend: InferenceBackend, on_scored: OnScored, feed: EntryFeed
    ) -> _Run:
        """Return a run whose number of processes suits the photos that are known within a moment."""
        num_known = await feed.known(WORTH_A_PROCESS * _num_cores(), _LOOK_AHEAD_S)
        return cls(config, plan, backend, on_scored, feed, max(num_known, 1))

    async def run(self, interruption: Interruption) -> IngestSummary:
        started = time.perf_counter()
        with interruption.heard_by(self._interrupt):
            try:
                await self._workers.run()
            finally:
                await self._parts.finish()
        self._summary.seconds = time.perf_counter() - started
        return self._summary

    def _interrupt(self) -> None:
        """Finish what is in flight; asked a second time, give that up too."""
        if self._summary.interrupted:
            self._feed.abandon()
            self._workers.give_up()
        self._summary.interrupted = True
        self._plan.stop()
        self._feed.close()
        self._workers.stop()

    def _leave(self, source: str, error: FaceStatsError) -> None:
        logger.warning("%s stays unfinished: %s", printable(source), printable(str(error)))
        if len(self._summary.unfinished) < MOST_NAMED:
            self._summary.unfinished.append((source, str(error)))

    async def _add(self, row: PhotoRow) -> None:
        await self._parts.add(row)
        self._tell(1, row.num_faces)

    async def _add_table(self, rows: pa.Table, num_faces: int) -> None:
        await self._parts.add_table(rows)
        self._tell(rows.num_rows, num_faces)

    def _tell(self, num_photos: int, num_faces: int) -> None:
        self._on_scored(num_photos, num_faces, self._feed.num_known if self._feed.is_complete else None)


def _ray_pool(
    backend: InferenceBackend,
    scoring: Scoring,
    schema: pa.Schema,
    feed: EntryFeed,
    on_rows: OnRows,
    on_left: OnLeft,
) -> RayPool:
    from fsclient.ingest.ray_runner.ray_backend import RayBackend
    from fsclient.ingest.ray_runner.ray_pool import RayPool

    assert isinstance(backend, RayBackend)
    return RayPool(backend.cluster, scoring, schema, feed, on_rows, on_left)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))
