"""Ingest photos: many in flight, a row for each, in parts that survive anything."""

from __future__ import annotations

import asyncio
import collections
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fsclient.backend.protocol import InferenceBackend
from fsclient.photos.photo_file import resume_key
from fsclient.photos.sources import find_photos
from fsclient.score.scoring import RetryPolicy, score_file
from fsdata.results.ledger import read_ledger
from fsdata.results.parts import PartWriter, part_paths
from fsdata.results.rows import PhotoRow
from fsdata.results.schema import face_outputs, part_schema
from fsdata.results.source import source_text
from fsdata.results.staging import refuse_interrupted
from fsdata.results.status import Status
from fsengine.contracts.served import ServedEnsemble
from fsengine.errors import (
    DeadlineError,
    FaceStatsError,
    InferenceError,
    InvalidInputError,
    ResultsError,
    ServerUnavailableError,
)

logger = logging.getLogger(__name__)

_PATHS_AT_A_TIME = 65536
"""Looked up in the ledger; enough for its fastest pace, and few next to the paths themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """What to ingest and how.

    Attributes:
        sources: Files, folders and patterns; with `refresh` there may be none.
        out: Folder of the parts.
        concurrency: Photos in flight.
        part_size: Photos of one part.
        part_s: Seconds after which a part is written though it is not full.
        retry_statuses: Statuses of earlier runs whose photos are done again.
        retry: What to do when the server is not to be had.
        refresh: Whether results of other models are brought to the served ones first.
    """

    sources: tuple[str, ...]
    out: Path
    concurrency: int = 8
    part_size: int = 1000
    part_s: float = 60.0
    retry_statuses: frozenset[Status] = frozenset()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    refresh: bool = False

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.part_size < 1 or self.part_s <= 0:
            raise ValueError(
                f"concurrency ({self.concurrency}), part_size ({self.part_size}) and part_s ({self.part_s}) "
                "must be above 0"
            )


@dataclass(slots=True, kw_only=True)
class IngestSummary:
    """What a run did.

    Attributes:
        served: What served it; None where nothing was left to do.
        num_inputs: Photos that the sources name.
        num_done_before: Of these, done by earlier runs.
        statuses: Photos of this run by status.
        num_faces: Faces of this run.
        num_truncated: Photos of this run with more faces than the pack's limit.
        seconds: Time from the first request to the last row.
        interrupted: Whether the user stopped it.
        unfinished: Source and reason of photos that the server could not be had for.
        earlier_statuses: Photos of earlier runs by status.
        refreshed: What was brought to the served models, in words; None where that was not asked for.
    """

    served: ServedEnsemble | None
    num_inputs: int
    num_done_before: int = 0
    statuses: collections.Counter[Status] = field(default_factory=collections.Counter)
    num_faces: int = 0
    num_truncated: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    unfinished: list[tuple[str, str]] = field(default_factory=list)
    earlier_statuses: collections.Counter[Status] = field(default_factory=collections.Counter)
    refreshed: str | None = None

    @property
    def num_rows(self) -> int:
        """Return the rows that this run wrote."""
        return self.statuses.total()

    @property
    def num_left(self) -> int:
        """Return the photos that have no row yet."""
        return self.num_inputs - self.num_done_before - self.num_rows

    @property
    def all_statuses(self) -> collections.Counter[Status]:
        """Return the inputs by status, earlier runs included."""
        return self.earlier_statuses + self.statuses

    @property
    def exit_code(self) -> int:
        """Return 130 after Ctrl-C, 4 with unfinished photos, 3 with failed ones, else 0."""
        if self.interrupted:
            return 130
        if self.num_left:
            return 4
        return 0 if not set(self.all_statuses) - {Status.OK, Status.NO_FACE} else 3


Progress = Callable[[PhotoRow], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is left to do.

    Attributes:
        todo: Paths of the photos to score.
        summary: Counts so far.
    """

    todo: list[bytes]
    summary: IngestSummary


def find_inputs(config: IngestConfig) -> list[bytes]:
    """Return the paths of the photos that a run's sources name.

    Raises:
        InvalidInputError: A source names nothing, or all that it names lies in the folder of results and that is
            not to be refreshed.
    """
    paths = find_photos(config.sources, skip=config.out)
    to_refresh = config.refresh and config.out.is_dir() and part_paths(config.out)
    if not paths and not to_refresh:
        raise InvalidInputError(
            f"{', '.join(config.sources) or 'SOURCE'} holds no file, or none outside of --out {config.out}; "
            "expected photos"
        )
    return paths


def plan_ingest(config: IngestConfig, paths: list[bytes], *, model_set_id: str | None = None) -> Plan:
    """Compare photos with what the parts say was done.

    Args:
        config: The run.
        paths: Of the photos, see `find_inputs`.
        model_set_id: What would be served; None to leave it unchecked.

    Raises:
        ResultsError: A part cannot be read or was made with another model set, or a refresh was interrupted.
    """
    refuse_interrupted(config.out)
    ledger = read_ledger(config.out)
    if ledger.info is not None and model_set_id not in (None, ledger.info.models.model_set_id):
        raise ResultsError(
            f"{config.out} holds results of model set {ledger.info.models.model_set_id} "
            f"({ledger.info.models.pack}), and {model_set_id} is served; results of different sets do not mix: "
            "choose another --out, or the same --models, or --refresh to bring them to it"
        )
    summary = IngestSummary(served=None, num_inputs=len(paths))
    todo = []
    for start in range(0, len(paths), _PATHS_AT_A_TIME):
        batch = paths[start : start + _PATHS_AT_A_TIME]
        for path, status in zip(batch, ledger.statuses_of([resume_key(path) for path in batch]), strict=True):
            if status is None or status in config.retry_statuses:
                todo.append(path)
            else:
                summary.num_done_before += 1
                summary.earlier_statuses[status] += 1
    return Plan(todo=todo, summary=summary)


async def ingest(
    config: IngestConfig, paths: list[bytes], backend: InferenceBackend, on_row: Progress
) -> IngestSummary:
    """Score every photo that has no row yet and write parts.

    The folder must be held by `fsdata.results.parts.locked`.

    Args:
        config: The run.
        paths: Of the photos, see `find_inputs`.
        backend: What runs the models.
        on_row: Called with each row as it is made.

    Returns:
        What was done. Ctrl-C and an unavailable server end a run early with everything done written.

    Raises:
        FaceStatsError: The folder cannot be continued or written to, or the server serves something else.
    """
    served = await backend.served()
    plan = plan_ingest(config, paths, model_set_id=served.models.model_set_id)
    plan.summary.served = served
    writer = PartWriter(config.out, part_schema(served), served.models.model_set_id)
    run = _Run(config=config, backend=backend, served=served, writer=writer, plan=plan, on_row=on_row)
    return await run.run()


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
        on_row: Progress,
    ) -> None:
        self._config = config
        self._backend = backend
        self._writer = writer
        self._summary = plan.summary
        self._on_row = on_row
        self._outputs = face_outputs(served)
        self._model_set_id = served.models.model_set_id
        self._todo: Iterator[bytes] = iter(plan.todo)
        self._num_workers = min(config.concurrency, len(plan.todo))
        self._rows: list[PhotoRow] = []
        self._part_begun = time.monotonic()
        self._write_lock = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._error: FaceStatsError | None = None

    async def run(self) -> IngestSummary:
        started = time.perf_counter()
        workers = [asyncio.create_task(self._work()) for _ in range(self._num_workers)]
        with self._interruptible(workers):
            outcomes = await asyncio.gather(*workers, return_exceptions=True)
        await self._flush()
        await asyncio.gather(*self._writes)
        self._summary.seconds = time.perf_counter() - started
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome
        if self._error is not None:
            raise self._error
        return self._summary

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
                )
            except DeadlineError as exc:
                self._leave(path, exc)
            except ServerUnavailableError as exc:
                self._leave(path, exc)
                self._stopped = True
            except InferenceError as exc:
                self._stopped = True
                self._error = exc
            else:
                await self._add(row)

    def _leave(self, path: bytes, error: FaceStatsError) -> None:
        logger.warning("%s stays unfinished: %s", source_text(path), error)
        self._summary.unfinished.append((source_text(path), str(error)))

    async def _add(self, row: PhotoRow) -> None:
        self._rows.append(row)
        full = len(self._rows) >= self._config.part_size
        if full or time.monotonic() - self._part_begun >= self._config.part_s:
            await self._flush()
        self._on_row(row)

    async def _flush(self) -> None:
        """Write the rows at hand as a part while other photos go on; a cancelled worker does not stop it."""
        rows, self._rows = self._rows, []
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
            except FaceStatsError:
                self._stopped = True
                raise
        for row in rows:
            self._summary.statuses[row.status] += 1
            self._summary.num_faces += row.num_faces
            self._summary.num_truncated += row.faces_truncated

    @contextmanager
    def _interruptible(self, workers: list[asyncio.Task[None]]) -> Iterator[None]:
        """Let the first Ctrl-C finish what is in flight, and the second give that up too."""
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            if self._summary.interrupted:
                for worker in workers:
                    worker.cancel()
            self._summary.interrupted = self._stopped = True

        handled = (signal.SIGINT, signal.SIGTERM)
        try:
            for number in handled:
                loop.add_signal_handler(number, interrupt)
        except (RuntimeError, ValueError):  # not the main thread: the caller handles signals
            yield
            return
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)
