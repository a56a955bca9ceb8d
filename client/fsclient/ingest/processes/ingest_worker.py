"""A worker process of an ingest: it reads, scores and hands rows over; it writes no file."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import NoReturn

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_retries import ask_again, check_model_set
from fsclient.ingest.photo_workers import PhotoWorkers
from fsclient.ingest.processes.worker_messages import (
    Channel,
    Ended,
    Entries,
    Finish,
    FromWorker,
    GiveUp,
    Job,
    Left,
    Rows,
    Wanted,
)
from fsclient.photos.entry import PhotoEntry
from fsdata.results.rows import PhotoRow, rows_table
from fsengine.errors import DeadlineError, FaceStatsError, ServerUnavailableError

_BATCH_ROWS = 32
_BATCH_S = 0.25
"""Rows are handed over when there are so many of them, or the first has waited so long."""


def main() -> None:
    """Do the job that arrives on the socket that is file 0.

    Signals are the parent's affair: Ctrl-C reaches every process of a terminal, and what it means is decided there.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_work())


async def _work() -> None:
    channel = await Channel.connected(socket.socket(fileno=0))
    job = await channel.receive()
    if not isinstance(job, Job):
        _end_at_once()
    worker = _Worker(job, channel)
    listening = asyncio.create_task(worker.listen())
    error = await worker.run()
    listening.cancel()
    await asyncio.wait([listening])
    await channel.send(Ended(error))
    # A parent that writes to a closed end loses what it has not read yet.
    await channel.other_end_closed()
    channel.close()


def _end_at_once() -> NoReturn:
    """End where the parent is gone: nobody would write what is in flight."""
    os._exit(1)


class _Worker:
    """One job."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self._job = job
        self._channel = channel
        self._entries: asyncio.Queue[PhotoEntry | None] = asyncio.Queue()
        self._num_taken = 0
        self._rows: list[PhotoRow] = []
        self._due: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._backend: InferenceBackend = job.connect()
        self._workers = PhotoWorkers(job.scoring, self._backend, self._next_entry, self._scored, self._left)

    async def run(self) -> FaceStatsError | None:
        """Score photos until none comes any more, hand all rows over, and return what ended it early."""
        try:
            if await self._is_connected():
                await self._workers.run()
            return None
        except FaceStatsError as exc:
            return exc
        finally:
            self._hand_over()
            await asyncio.gather(*self._sending)
            await self._backend.close()

    async def _is_connected(self) -> bool:
        """Return whether the server serves what it did for the parent; a photo is left where it cannot be had."""
        scoring = self._job.scoring
        try:
            await ask_again(lambda _: check_model_set(self._backend, scoring.model_set_id), scoring.retry)
        except (ServerUnavailableError, DeadlineError) as exc:
            if (entry := await self._next_entry()) is not None:
                self._left(entry.source, exc)
            return False
        return True

    async def listen(self) -> None:
        """Do what the parent says."""
        while True:
            match await self._channel.receive():
                case Entries(entries):
                    for entry in entries:
                        self._entries.put_nowait(entry)
                case Finish(now):
                    if now:
                        self._workers.stop()
                    self._entries.put_nowait(None)
                case GiveUp():
                    self._workers.give_up()
                    self._entries.put_nowait(None)
                case _:
                    _end_at_once()

    async def _next_entry(self) -> PhotoEntry | None:
        entry = await self._entries.get()
        if entry is None or self._workers.is_stopped:
            self._entries.put_nowait(None)  # for the others who wait
            return None
        self._num_taken += 1
        if self._num_taken > self._job.scoring.concurrency // 2:
            self._send(Wanted(self._num_taken))
            self._num_taken = 0
        return entry

    async def _scored(self, row: PhotoRow) -> None:
        self._rows.append(row)
        if len(self._rows) >= _BATCH_ROWS:
            self._hand_over()
            await asyncio.gather(*self._sending)
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(_BATCH_S, self._hand_over)

    def _hand_over(self) -> None:
        """Send the rows at hand."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        rows, self._rows = self._rows, []
        if rows:
            table = rows_table(rows, self._job.schema, self._job.scoring.model_set_id)
            (batch,) = table.to_batches()
            self._send(Rows(batch.serialize().to_pybytes(), sum(row.num_faces for row in rows)))

    def _left(self, source: str, error: FaceStatsError) -> None:
        self._send(Left(source, error))

    def _send(self, message: FromWorker) -> None:
        task = asyncio.ensure_future(self._channel.send(message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
