"""The workers of a cluster, as the process that writes an ingest's parts holds them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fsclient.ingest.daemon_threads import in_daemon
from fsclient.ingest.photo_workers import OnLeft, Scoring
from fsclient.ingest.processes.worker_pool import OnRows
from fsclient.ingest.ray_runner.block_scorer import Work, own_version
from fsclient.ingest.ray_runner.blocks import Answer, unpacked_rows
from fsclient.ingest.ray_runner.ray_cluster import RayCluster
from fsclient.ingest.ray_runner.stop_sign import Stop
from fsclient.ingest.ray_runner.window import Window
from fsengine.errors import DeadlineError, FaceStatsError, ServerUnavailableError, StoreUnavailableError

if TYPE_CHECKING:
    from fsclient.ingest.entry_feed import EntryFeed

_MOST_LEFT_IN_A_ROW = 16
"""Photos that stores could not be had for, with no row between them, before a run ends."""

_END_S = 15.0
"""How long workers that were told to give up may take to hand over what they scored."""

_LOST_S = 30.0
"""How long a cluster's head may not answer; after a minute Ray would end this process without a word."""

_LOOKED_AT_S = 2.0
"""How often nodes that joined are looked for, and the workers told again to stop."""


class RayPool:
    """Scores photos in a cluster until none is left, or it is told to stop.

    Two windows are under way where there is more than one, each with workers of half the photos in flight: while one
    ends and the next one's workers start, the other's go on.
    """

    def __init__(
        self,
        cluster: RayCluster,
        scoring: Scoring,
        schema: pa.Schema,
        feed: EntryFeed,
        on_rows: OnRows,
        on_left: OnLeft,
    ) -> None:
        """Prepare; `run` starts the workers.

        Args:
            cluster: Where; it is opened if it is not open, and then closed at the end.
            scoring: How one worker scores photos.
            schema: Of the rows.
            feed: Photos to score.
            on_rows: Called with rows as they arrive, and the number of their faces.
            on_left: Called with the source of each photo that server or store could not be had for, and why.
        """
        self._cluster = cluster
        self._scoring = scoring
        self._schema = schema
        self._feed = feed
        self._on_rows = on_rows
        self._on_left = on_left
        self._cutting: set[asyncio.Future[Window | None]] = set()
        self._num_left_in_a_row = 0
        self._stop = Stop.GO
        self._sign: Any = None
        self._error: FaceStatsError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Score photos.

        Raises:
            ServerUnavailableError: The cluster was lost.
            FaceStatsError: A worker met one.
            Exception: Whatever `on_rows` raises. In all cases what was scored was handed over, and the rest was left.
        """
        self._loop = asyncio.get_running_loop()
        is_ours = not self._cluster.is_open
        await in_daemon(self._cluster.open)
        self._sign = await in_daemon(self._cluster.new_sign)
        self._tell()
        watching = asyncio.create_task(self._watch())
        try:
            await self._run(watching)
        finally:
            watching.cancel()
            self._sign = None
            if is_ours:
                await in_daemon(self._cluster.close)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Begin no further photo; those in flight are finished."""
        self._end(Stop.BEGIN_NONE)

    def give_up(self) -> None:
        """Give up the photos in flight too."""
        self._end(Stop.GIVE_UP)

    def _end(self, stop: Stop) -> None:
        if stop > self._stop:
            self._stop = stop
            self._tell()
            for cutting in self._cutting:
                cutting.cancel()

    def _tell(self) -> None:
        """Tell the workers, without waiting until they have heard."""
        if self._sign is not None and self._stop is not Stop.GO:
            self._sign.say.remote(self._stop)

    async def _watch(self) -> None:
        """Give nodes that join a server, say again what a lost sign has forgotten, and return if all is lost."""
        reached = time.monotonic()
        while time.monotonic() - reached < _LOST_S:
            await asyncio.sleep(_LOOKED_AT_S)
            if not await in_daemon(self._cluster.is_reached):
                continue
            reached = time.monotonic()
            self._tell()
            with suppress(Exception, asyncio.TimeoutError):
                await asyncio.wait_for(in_daemon(self._cluster.start_node_servers), _LOOKED_AT_S)

    async def _run(self, watching: asyncio.Task[None]) -> None:
        most = self._cluster.settings.window
        if (first := await self._next_window(most)) is None:
            return
        running = [asyncio.create_task(self._run_windows(first, 2 if first.is_full else 1))]
        if first.is_full:
            running.append(asyncio.create_task(self._run_others(most // 2 or 1)))
        try:
            scoring = asyncio.ensure_future(asyncio.wait(running))
            await asyncio.wait({scoring, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not scoring.done():
                self._cluster.leave()
                raise ServerUnavailableError(
                    f"the Ray cluster was lost: its head has not answered for {_LOST_S:.0f} s; what was scored is "
                    "written: run the same command again to go on"
                )
        except asyncio.CancelledError:
            self.give_up()
            await asyncio.wait(running, timeout=_END_S)
            raise
        finally:
            for task in running:
                task.cancel()
            outcomes = await asyncio.gather(*running, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _run_others(self, most: int) -> None:
        """Score windows beside others; the first is small, so that they do not end together."""
        await self._run_windows(await self._next_window(most), 2)

    async def _run_windows(self, window: Window | None, num_sharing: int) -> None:
        """Score a window, and further ones after it, as long as there are any."""
        work = Work(
            servers=self._cluster.servers,
            scoring=self._scoring,
            schema=self._schema,
            version=own_version(),
            num_sharing=num_sharing,
        )
        try:
            while window is not None and self._stop is Stop.GO:
                await in_daemon(partial(self._consume, window, work))
                if window.pending and self._stop is Stop.GO:
                    raise ServerUnavailableError(
                        f"the Ray cluster lost {len(window.pending)} photos; run the same command again to go on"
                    )
                window = await self._next_window(self._cluster.settings.window)
        except BaseException:
            self.stop()
            raise

    async def _next_window(self, most: int) -> Window | None:
        """Return the next window; stopping ends the wait for it."""
        if self._stop is not Stop.GO:
            return None
        cutting = asyncio.ensure_future(Window.next_of(self._feed, most))
        self._cutting.add(cutting)
        try:
            return await cutting
        except asyncio.CancelledError:
            if self._stop is Stop.GO or not cutting.cancelled():
                raise
            return None
        finally:
            self._cutting.discard(cutting)

    def _consume(self, window: Window, work: Work) -> None:
        """Have a window scored and hand its answers to the event loop; blocks."""
        assert self._loop is not None
        nodes = self._cluster.nodes()
        num_actors = self._cluster.settings.num_actors or len(nodes)
        answers = window.answers(work, self._sign, nodes, num_actors)
        try:
            for answer in answers:
                asyncio.run_coroutine_threadsafe(self._take(window, answer), self._loop).result()
        finally:
            answers.close()

    async def _take(self, window: Window, answer: Answer) -> None:
        """Hand on what is new of an answer: a block that was scored again after its worker died may come twice."""
        new = [place for place, number in enumerate(answer.numbers) if number in window.pending]
        if new:
            rows = unpacked_rows(answer.rows, self._schema)
            for place in new:
                del window.pending[answer.numbers[place]]
            await self._on_rows(
                rows if len(new) == rows.num_rows else rows.take(new), sum(answer.num_faces[place] for place in new)
            )
            self._num_left_in_a_row = 0
        for number, error in answer.left:
            if (source := window.pending.pop(number, None)) is not None:
                self._leave(source, error)
        if answer.error is not None:
            self._error = self._error or answer.error
            self.stop()

    def _leave(self, source: str, error: FaceStatsError) -> None:
        """Leave a photo; where its server cannot be had, or no store, the run ends."""
        self._on_left(source, error)
        if isinstance(error, StoreUnavailableError):
            self._num_left_in_a_row += 1
            if self._num_left_in_a_row >= _MOST_LEFT_IN_A_ROW:
                self.stop()
        elif not isinstance(error, DeadlineError):
            self.stop()
