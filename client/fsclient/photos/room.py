"""How many pixels, or bytes, of photos are in flight at once: memory follows them, not the number of photos."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_PIXELS_IN_FLIGHT = 400_000_000
"""Decoded 1.2 GB; two photos of the largest size."""


class Room:
    """Room for so many pixels or bytes, given in the order in which it was asked for.

    A photo that is larger than all of it goes alone.
    """

    def __init__(self, limit: int = MAX_PIXELS_IN_FLIGHT) -> None:
        """Make an empty room.

        Args:
            limit: The most that are held.
        """
        self._limit = limit
        self._held = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, num_pixels: int) -> AsyncIterator[None]:
        """Wait until there is room for so many pixels, and hold it."""
        held = await self.take(num_pixels)
        try:
            yield
        finally:
            self.give_back(held)

    async def take(self, number: int) -> int:
        """Wait until there is room for so many, and return how many are held, for `give_back`."""
        wanted = min(number, self._limit)
        async with self._turn:
            while self._held + wanted > self._limit:
                self._freed.clear()
                await self._freed.wait()
            self._held += wanted
        return wanted

    def give_back(self, held: int) -> None:
        """Hold so many no longer."""
        self._held -= held
        self._freed.set()
