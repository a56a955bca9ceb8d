"""The worker processes of an ingest, as the process that writes its parts holds them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa

from fsclient.backend.protocol import InferenceBackend
from fsclient.ingest.entry_feed import EntryFeed
from fsclient.ingest.photo_workers import OnLeft, Scoring
from fsclient.ingest.processes.worker_messages import (
    Channel,
    Ended,
    Entries,
    Finish,
    GiveUp,
    Job,
    Left,
    Rows,
    ToWorker,
    Wanted,
)
from fsengine.errors import DeadlineError, FaceStatsError, StoreUnavailableError

OnRows = Callable[[pa.Table, int], Awaitable[None]]
"""Called with rows as they arrive, and the number of their faces."""

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from fsclient.ingest.processes.ingest_worker import main; main()"

_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""Has glibc keep the memory of one photo for the next, rather than give it back to the kernel and have it cleared."""

_END_S = 5.0
"""How long a worker that was told to give up may take to hand over what it scored, and then to end."""

_PHOTOS_IN_FLIGHT = 16
"""Of one process, so that it has its core's worth of work; a server on a CPU takes fewer and gets one process."""

WORTH_A_PROCESS = 500
"""Photos of one process at least: starting it takes as long as sending hundreds."""


def usual_processes(concurrency: int, num_photos: int, num_cores: int) -> int:
    """Return how many processes an ingest takes where nobody says so.

    Args:
        concurrency: Photos in flight.
        num_photos: Photos to score.
        num_cores: Of this machine; half of them are left to whoever writes, decompresses and serves.
    """
    return max(1, min(num_cores // 2, concurrency // _PHOTOS_IN_FLIGHT, num_photos // WORTH_A_PROCESS))


class WorkerPool:
    """Scores photos in several processes until none is left, or it is told to stop."""

    def __init__(
        self,
        connect: Callable[[], InferenceBackend],
        scoring: Scoring,
        schema: pa.Schema,
        feed: EntryFeed,
        on_rows: OnRows,
        on_left: OnLeft,
        *,
        num_processes: int,
    ) -> None:
        """Prepare; `run` starts the processes.

        Args:
            connect: Makes a connection to the server; goes to the workers pickled.
            scoring: How all of them together score photos.
            schema: Of the rows.
            feed: Photos to score.
            on_rows: See `OnRows`.
            on_left: Called with the source of each photo that server or store could not be had for, and why.
            num_processes: How many, no more than photos in flight.
        """
        self._jobs = [Job(connect, part, schema) for part in _shares(scoring, num_processes)]
        self._schema = schema
        self._feed = feed
        self._on_rows = on_rows
        self._on_left = on_left
        self._workers: list[_Worker] = []
        self._tellings: set[asyncio.Task[None]] = set()
        self._is_stopped = self._has_given_up = False
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Score photos.

        Raises:
            FaceStatsError: A worker met one, or ended without a word.
            Exception: Whatever `on_rows` raises. In all cases photos in flight were finished, and the rest was left.
        """
        try:
            for job in self._jobs:
                self._workers.append(await _Worker.start(job))
            attending = [asyncio.create_task(self._attend(worker)) for worker in self._workers]
            try:
                await asyncio.wait(attending)
            except asyncio.CancelledError:
                self.give_up()
                await asyncio.wait(attending, timeout=_END_S)
                raise
            finally:
                for task in attending:
                    task.cancel()
                outcomes = await asyncio.gather(*attending, return_exceptions=True)
            for outcome in (*outcomes, self._error):
                if isinstance(outcome, BaseException):
                    raise outcome
        finally:
            for worker in self._workers:
                worker.channel.close()
            await asyncio.gather(*(asyncio.to_thread(worker.end) for worker in self._workers))

    def stop(self) -> None:
        """Take no further photo; those in flight are finished."""
        if not self._is_stopped:
            self._is_stopped = True
            self._tell_all(Finish(now=True))

    def give_up(self) -> None:
        """Give up the photos in flight too."""
        self._is_stopped = self._has_given_up = True
        self._tell_all(GiveUp())
        asyncio.get_running_loop().call_later(_END_S, self._kill_all)

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _tell_all(self, message: ToWorker) -> None:
        for worker in self._workers:
            task = asyncio.ensure_future(worker.channel.send(message))
            self._tellings.add(task)
            task.add_done_callback(self._tellings.discard)

    async def _attend(self, worker: _Worker) -> None:
        """Feed a worker and take what it hands over, until it ends."""
        wanted: asyncio.Queue[int] = asyncio.Queue()
        wanted.put_nowait(2 * worker.concurrency)
        supplying = asyncio.create_task(self._supply(worker, wanted))
        supplying.add_done_callback(self._supplied)
        try:
            while True:
                match await worker.channel.receive():
                    case Wanted(number):
                        wanted.put_nowait(number)
                    case Rows(batch, num_faces):
                        rows = pa.ipc.read_record_batch(pa.py_buffer(batch), self._schema)
                        await self._on_rows(pa.Table.from_batches([rows]), num_faces)
                    case Left(source, error):
                        self._on_left(source, error)
                        if not isinstance(error, (DeadlineError, StoreUnavailableError)):
                            self.stop()
                    case Ended(None):
                        return
                    case Ended(error):
                        assert error is not None
                        raise error
                    case _ if self._has_given_up:
                        return
                    case _:
                        raise await asyncio.to_thread(worker.death)
        except BaseException:
            self.stop()
            raise
        finally:
            supplying.cancel()

    async def _supply(self, worker: _Worker, wanted: asyncio.Queue[int]) -> None:
        """Give a worker photos as it asks for them, until there is none."""
        while True:
            number = await wanted.get()
            while number > 0 and not self._is_stopped:
                if not (entries := await self._feed.take(number)):
                    await worker.channel.send(Finish(now=self._is_stopped))
                    return
                await worker.channel.send(Entries(entries))
                number -= len(entries)

    def _supplied(self, task: asyncio.Task[None]) -> None:
        """End for what ended the search for photos; each worker finishes what it has."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
            self.stop()


class _Worker:
    """A worker process and the way to it."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, concurrency: int) -> None:
        self._process = process
        self.channel = channel
        self.concurrency = concurrency

    @classmethod
    async def start(cls, job: Job) -> _Worker:
        """Start a worker and give it its job.

        Its process is a new Python that imports this package from where it lies here, and nothing of the caller's
        program or folder: a fork would take gRPC's threads along, and `multiprocessing` runs the program again.
        """
        ours, theirs = socket.socketpair()
        folders = [os.path.abspath(folder) for folder in sys.path if folder]  # noqa: ASYNC240 - a few words, no disk
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220 - a worker lives beside the event loop
                [sys.executable, "-I", "-c", _PROGRAM, *folders],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **_KEEP_MEMORY},
            )
        channel = await Channel.connected(ours)
        await channel.send(job)
        return cls(process, channel, job.scoring.concurrency)

    def death(self) -> FaceStatsError:
        """Return the error for a worker that ended without saying so."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        code = self._process.returncode
        how = signal.Signals(-code).name if code is not None and -code in set(signal.Signals) else f"exit code {code}"
        return FaceStatsError(
            f"a worker process of this run ended ({how}), perhaps for want of memory; what the others scored is "
            "written: run the same command again to go on, with fewer --processes where memory is short"
        )

    def kill(self) -> None:
        """Have it end at once."""
        self._process.kill()

    def end(self) -> None:
        """Wait until it has ended; blocks."""
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _shares(scoring: Scoring, number: int) -> list[Scoring]:
    """Return what each of several processes does of a whole."""
    each, more = divmod(scoring.concurrency, number)
    return [
        replace(scoring, concurrency=each + (index < more), pixels=scoring.pixels // number) for index in range(number)
    ]
