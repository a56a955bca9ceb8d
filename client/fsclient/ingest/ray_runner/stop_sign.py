"""How the workers of a run hear that it shall end."""

from __future__ import annotations

import asyncio
from enum import IntEnum


class Stop(IntEnum):
    """How far a run shall end.

    GO: Not at all.
    BEGIN_NONE: No further photo is begun; those in flight are finished.
    GIVE_UP: Photos in flight are given up too.
    """

    GO = 0
    BEGIN_NONE = 1
    GIVE_UP = 2


class StopSign:
    """What an actor of the cluster says to all workers of a run."""

    def __init__(self) -> None:
        """Let them go on."""
        self._stop = Stop.GO
        self._changed = asyncio.Condition()

    async def now(self) -> Stop:
        """Return what it says."""
        return self._stop

    async def say(self, stop: Stop) -> None:
        """Say more than before."""
        async with self._changed:
            self._stop = max(self._stop, stop)
            self._changed.notify_all()

    async def more_than(self, stop: Stop) -> Stop:
        """Wait until it says more than `stop`, and return what."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._stop > stop)
        return self._stop
