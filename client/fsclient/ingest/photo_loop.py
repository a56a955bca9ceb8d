"""Score photos, many in flight, a row for each, into parts that survive anything."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

from fsclient.backend.protocol import InferenceBackend
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.resume import Plan, refuse_other_embedding, refuse_other_set
from fsclient.ingest.settings import INGEST_CONCURRENCY, IngestConfig
from fsclient.ingest.summary import IngestSummary
from fsclient.photos.pixel_room import PixelRoom
from fsclient.score.photo_request import score_file
from fsdata.results.parts import PartWriter
from fsdata.results.rows import PhotoRow
from fsdata.results.schema import face_outputs, part_schema
from fsdata.results.source import source_text
from fsengine.contracts.served import ServedEnsemble
from fsengine.errors import DeadlineError, FaceStatsError, InferenceError, ServerUnavailableError
from fsengine.terminal.messages import printable

logger = logging.getLogger(__name__)

OnRow = Callable[[PhotoRow], None]


async def ingest_photos(
    config: IngestConfig,
    plan: Plan,
    backend: InferenceBackend,
    on_row: OnRow,
    interruption: Interruption | None = None,
) -> IngestSummary:
    """Score every photo that a plan leaves to do and write parts.

    The folder must be held by `fsdata.results.parts.locked`.

    Args:
        config: The run.
        plan: What is left to do; its summary goes on counting.
        backend: What runs the models.
        on_row: Called with each row as it is made.
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
    writer = PartWriter(config.out, part_schema(served), served.models.model_set_id)
    run = _Run(config=config, backend=backend, served=served, writer=writer, plan=plan, on_row=on_row)
    return await run.run(interruption or Interruption())


class _Run:
    """The state of one run inside its event loop."""

    def __init__(
        self,
        *,
        config: IngestConfig,
        backend: InferenceBackend,
        served: ServedEnsemble,
        writer: PartWriter,
        plan: Plan,
        on_row: OnRow,
    ) -> None:
        self._config = config
        self._backend = backend
        self._writer = writer
        self._summary = plan.summary
        self._on_row = on_row
        self._outputs = face_outputs(served)
        self._model_set_id = served.models.model_set_id
        self._todo: Iterator[bytes] = iter(plan.todo)
        self._num_workers = min(config.concurrency or INGEST_CONCURRENCY, len(plan.todo))
        self._rows: list[PhotoRow] = []
        self._part_begun = time.monotonic()
        self._write_lock = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()
        self._room = PixelRoom()
        self._stopped = False
        self._error: FaceStatsError | None = None

    async def run(self, interruption: Interruption) -> IngestSummary:
        started = time.perf_counter()
        workers = [asyncio.create_task(self._work()) for _ in range(self._num_workers)]
        with interruption.heard_by(lambda: self._interrupt(workers)):
            try:
                outcomes = await asyncio.gather(*workers, return_exceptions=True)
            finally:
                await self._finish_writing()
        self._summary.seconds = time.perf_counter() - started
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not (
                self._summary.interrupted and isinstance(outcome, asyncio.CancelledError)
            ):
                raise outcome
        if self._error is not None:
            raise self._error
        return self._summary

    async def _finish_writing(self) -> None:
        """Write what is done; being cancelled does not stop it."""
        writing = asyncio.create_task(self._write_rest())
        cancelled = False
        while not writing.done():
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                cancelled = not writing.cancelled()
        writing.result()
        if cancelled:
            raise asyncio.CancelledError

    async def _write_rest(self) -> None:
        await self._flush()
        await asyncio.gather(*self._writes)

    def _interrupt(self, workers: list[asyncio.Task[None]]) -> None:
        """Finish what is in flight; asked a second time, give that up too."""
        if self._summary.interrupted:
            for worker in workers:
                worker.cancel()
        self._summary.interrupted = self._stopped = True

    async def _work(self) -> None:
        """Score photos one after the other until none is left or the run is stopped."""
        for path in self._todo:
            if self._stopped:
                return
            try:
                row = await score_file(
                    path,
                    self._backend,
                    self._outputs,
                    retry=self._config.retry,
                    expected_model_set_id=self._model_set_id,
                    room=self._room,
                )
                await self._add(row)
            except DeadlineError as exc:
                self._leave(path, exc)
            except ServerUnavailableError as exc:
                self._leave(path, exc)
                self._stopped = True
            except InferenceError as exc:
                self._stopped = True
                self._error = exc
            except BaseException:
                self._stopped = True
                raise

    def _leave(self, path: bytes, error: FaceStatsError) -> None:
        logger.warning("%s stays unfinished: %s", printable(source_text(path)), printable(str(error)))
        self._summary.unfinished.append((source_text(path), str(error)))

    async def _add(self, row: PhotoRow) -> None:
        self._rows.append(row)
        full = len(self._rows) >= self._config.part_size
        if full or time.monotonic() - self._part_begun >= self._config.part_s:
            await self._flush()
        self._on_row(row)

    async def _flush(self) -> None:
        """Write the rows at hand as a part while other photos go on; a cancelled worker does not stop it."""
        rows, self._rows = sorted(self._rows, key=lambda row: row.photo.source), []
        self._part_begun = time.monotonic()
        if rows:
            task = asyncio.create_task(self._write(rows))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)
            await asyncio.shield(task)

    async def _write(self, rows: list[PhotoRow]) -> None:
        async with self._write_lock:
            try:
                await asyncio.to_thread(self._writer.write, rows)
            except BaseException:
                self._stopped = True
                raise
        for row in rows:
            self._summary.count(row)
