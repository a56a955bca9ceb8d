"""Who may use the server now, who waits a moment, and who is asked to come back: a queue never grows without end."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fsgateway.gateway_limits import GatewayLimits
from fsgateway.problems import Problem

_AGAIN = "try again after the time in Retry-After"


class Turns:
    """A number of turns at once, given in the order in which they were asked for.

    `asyncio.Semaphore` under a timeout may lose a turn in Python 3.10 and 3.11.
    """

    def __init__(self, at_once: int) -> None:
        """Make them.

        Args:
            at_once: How many are taken at most.
        """
        self._free = at_once
        self._waiting: collections.deque[asyncio.Future[bool]] = collections.deque()

    @property
    def num_waiting(self) -> int:
        """Return how many wait for one."""
        return len(self._waiting)

    @asynccontextmanager
    async def take(self, patience_s: float) -> AsyncIterator[bool]:
        """Wait for a turn and hold it; gives whether it came in time."""
        taken = await self._wait(patience_s)
        try:
            yield taken
        finally:
            if taken:
                self._pass_on()

    async def _wait(self, patience_s: float) -> bool:
        if self._free:
            self._free -= 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        timer = asyncio.get_running_loop().call_later(patience_s, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._pass_on()
            else:
                self._forget(turn)
            raise
        finally:
            timer.cancel()

    def _give_up(self, turn: asyncio.Future[bool]) -> None:
        self._forget(turn)
        if not turn.done():
            turn.set_result(False)

    def _forget(self, turn: asyncio.Future[bool]) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1


class HeldBytes:
    """Bytes of photos that one request has in memory; given back when the request ends."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held = 0

    def add(self, num_bytes: int) -> None:
        """Hold more.

        Raises:
            Problem: All requests together would hold more than is allowed.
        """
        self._admission.hold(num_bytes)
        self._held += num_bytes

    def release(self, num_bytes: int) -> None:
        """Give some back."""
        self._held -= num_bytes
        self._admission.hold(-num_bytes)

    def close(self) -> None:
        """Give all back."""
        self.release(self._held)


class Admission:
    """Counts what is done at once, and turns away what is too much.

    Photos of requests with several take half of the turns at most, so that a batch never locks single photos out.
    """

    def __init__(self, limits: GatewayLimits) -> None:
        """Begin with nothing to do."""
        self._limits = limits
        self._turns = Turns(limits.photos_at_server)
        self._turns_of_many = Turns(max(1, limits.photos_at_server // 2))
        self._requests = 0
        self._batches = 0
        self._held_bytes = 0

    @contextmanager
    def request(self, *, batch: bool = False) -> Iterator[HeldBytes]:
        """Let a request with photos in; gives the bytes that it will hold.

        Raises:
            Problem: There are too many, or the queue is full already.
        """
        if self._requests >= self._limits.requests or (not batch and self._is_full):
            raise Problem("busy", f"the gateway has as many requests as it takes; {_AGAIN}")
        if batch and self._batches >= self._limits.batches:
            raise Problem("busy", f"{self._batches} batches are being answered, which is all that is taken; {_AGAIN}")
        self._requests += 1
        self._batches += batch
        held = HeldBytes(self)
        try:
            yield held
        finally:
            held.close()
            self._requests -= 1
            self._batches -= batch

    @asynccontextmanager
    async def photo(self) -> AsyncIterator[None]:
        """Wait a moment for the turn of a photo that is alone in its request, and hold it.

        Raises:
            Problem: Its turn did not come in time, or the queue is full.
        """
        if self._is_full:
            raise Problem("busy", f"{self._turns.num_waiting} photos wait already; {_AGAIN}")
        async with self._turns.take(self._limits.wait_s) as taken:
            if not taken:
                raise Problem("busy", f"the photo's turn did not come within {self._limits.wait_s:g} s; {_AGAIN}")
            yield

    @asynccontextmanager
    async def one_of_many(self, patience_s: float) -> AsyncIterator[None]:
        """Wait for the turn of a photo of a request with several, and hold it.

        Raises:
            Problem: Its turn did not come in time.
        """
        async with self._turns_of_many.take(patience_s) as shared, self._turns.take(patience_s) as taken:
            if not (shared and taken):
                raise Problem("busy", f"the photo's turn did not come within {patience_s:g} s; {_AGAIN}")
            yield

    def hold(self, num_bytes: int) -> None:
        """Count bytes that are held, or given back where negative.

        Raises:
            Problem: They would be too many.
        """
        if num_bytes > 0 and self._held_bytes + num_bytes > self._limits.held_bytes:
            raise Problem("busy", f"the gateway holds as many bytes of photos as it may; {_AGAIN}")
        self._held_bytes += num_bytes

    @property
    def _is_full(self) -> bool:
        return self._turns.num_waiting >= self._limits.waiting
