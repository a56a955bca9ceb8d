"""Score photos, many in flight, a row for each, into parts that survive anything."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

import pyarrow as pa

from fsclient.backend.protocol import InferenceBackend
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.part_buffer import PartBuffer
from fsclient.ingest.photo_workers import PhotoWorkers, Scoring
from fsclient.ingest.processes.worker_pool import WorkerPool, usual_processes
from fsclient.ingest.resume import Plan, refuse_other_embedding, refuse_other_set
from fsclient.ingest.settings import IngestConfig
from fsclient.ingest.summary import IngestSummary
from fsclient.photos.pixel_room import MAX_PIXELS_IN_FLIGHT
from fsdata.results.parts import PartWriter
from fsdata.results.rows import PhotoRow
from fsdata.results.schema import face_outputs, part_schema
from fsdata.results.source import source_text
from fsengine.contracts.served import ServedEnsemble
from fsengine.contracts.steps import LARGE_PHOTO_PIXELS
from fsengine.errors import FaceStatsError, InvalidInputError
from fsengine.terminal.messages import printable

logger = logging.getLogger(__name__)

OnScored = Callable[[int, int], None]
"""Called with numbers of photos that were scored, and of their faces."""


async def ingest_photos(
    config: IngestConfig,
    plan: Plan,
    backend: InferenceBackend,
    on_scored: OnScored,
    interruption: Interruption | None = None,
) -> IngestSummary:
    """Score every photo that a plan leaves to do and write parts.

    The folder must be held by `fsdata.results.parts.locked`.

    Args:
        config: The run.
        plan: What is left to do; its summary goes on counting.
        backend: What runs the models.
        on_scored: Called as photos are scored.
        interruption: How the run may be told to stop.

    Returns:
        What was done. An interruption and an unavailable server end a run early with everything done written; so does
        cancelling it.

    Raises:
        FaceStatsError: The folder cannot be continued or written to, or the server serves something else.
    """
    served = await backend.served()
    refuse_other_set(config.out, plan.models, served.models.model_set_id)
    refuse_other_embedding(config, plan.embeddings)
    if not config.embedding:
        served = served.without_embedding()
    plan.summary.served = served
    run = _Run(config, plan, backend, on_scored)
    return await run.run(interruption or Interruption())


def _scoring(config: IngestConfig, backend: InferenceBackend, served: ServedEnsemble, num_photos: int) -> Scoring:
    """Return how photos are scored."""
    capacity = backend.capacity
    concurrency = min(config.concurrency or capacity.photos_in_flight, num_photos)
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

    def __init__(self, config: IngestConfig, plan: Plan, backend: InferenceBackend, on_scored: OnScored) -> None:
        served = plan.summary.served
        assert served is not None
        schema = part_schema(served)
        writer = PartWriter(config.out, schema, served.models.model_set_id)
        self._summary = plan.summary
        self._on_scored = on_scored
        self._parts = PartBuffer(writer, self._summary.count, part_size=config.part_size, part_s=config.part_s)
        self._todo = iter(plan.todo)
        scoring = _scoring(config, backend, served, len(plan.todo))
        connect = backend.connect_again
        if connect is None and (config.processes or 1) > 1:
            raise InvalidInputError("several processes need a server to connect to, and this backend is none")
        wanted = config.processes or usual_processes(scoring.concurrency, len(plan.todo), len(os.sched_getaffinity(0)))
        self._workers: PhotoWorkers | WorkerPool
        if connect is not None and (num_processes := min(wanted, scoring.concurrency)) > 1:
            self._workers = WorkerPool(
                connect, scoring, schema, self._todo, self._add_table, self._leave, num_processes=num_processes
            )
        else:
            self._workers = PhotoWorkers(scoring, backend, self._next_path, self._add, self._leave)

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
            self._workers.give_up()
        self._summary.interrupted = True
        self._workers.stop()

    async def _next_path(self) -> bytes | None:
        return next(self._todo, None)

    def _leave(self, path: bytes, error: FaceStatsError) -> None:
        logger.warning("%s stays unfinished: %s", printable(source_text(path)), printable(str(error)))
        self._summary.unfinished.append((source_text(path), str(error)))

    async def _add(self, row: PhotoRow) -> None:
        await self._parts.add(row)
        self._on_scored(1, row.num_faces)

    async def _add_table(self, rows: pa.Table, num_faces: int) -> None:
        await self._parts.add_table(rows)
        self._on_scored(rows.num_rows, num_faces)
