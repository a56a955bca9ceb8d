"""What is to be scored, found ahead of those who score it, in a thread of its own."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from collections.abc import Generator, Iterator

from fsclient.photos.entry import InsideEntry, PhotoEntry

_MOST_AHEAD = 100_000
"""Photos that are known and not taken yet, 20 MB of names; a folder with fewer is known whole within seconds."""

_MOST_BYTES_AHEAD = 64 << 20
"""Of photos that come with their bytes, from shards and tables."""


class EntryFeed:
    """Photos to score, handed out in their order.

    Attributes:
        num_known: Photos that were found so far, those that were taken included.
        is_complete: Whether all are found.
    """

    def __init__(self, entries: Generator[PhotoEntry, None, None]) -> None:
        """Begin to find them; only within a running event loop.

        Args:
            entries: The photos; iterated over, and closed, in a thread.
        """
        self.num_known = 0
        self.is_complete = False
        self._entries = entries
        self._ahead: collections.deque[PhotoEntry] = collections.deque()
        self._num_bytes = 0
        self._error: BaseException | None = None
        self._is_closed = False
        self._turn = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._has_ended = asyncio.Event()
        self._thread = threading.Thread(target=self._find, name="facestats-sources", daemon=True)
        self._thread.start()

    async def has_any(self) -> bool:
        """Return whether there is a photo; waits until one is found, or all were searched.

        Raises:
            Exception: Whatever ended the search before.
        """
        await self._wait_for(1)
        return bool(self._ahead)

    async def known(self, number: int, seconds: float) -> int:
        """Wait until so many are found, or all, or some seconds have passed, and return how many are."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wait_for(number), seconds)
        return self.num_known

    async def next(self) -> PhotoEntry | None:
        """Return the next photo, None where there is none left.

        Raises:
            Exception: Whatever ended the search.
        """
        taken = await self.take(1)
        return taken[0] if taken else None

    async def take(self, most: int) -> list[PhotoEntry]:
        """Return some photos, as many as are known and as are asked for; none where there is none left.

        Raises:
            Exception: Whatever ended the search.
        """
        await self._wait_for(1)
        with self._turn:
            taken = [self._ahead.popleft() for _ in range(min(most, len(self._ahead)))]
            self._num_bytes -= sum(map(_held_bytes, taken))
            self._turn.notify_all()
        return taken

    def close(self) -> None:
        """Find no further ones, and hand out none."""
        with self._turn:
            self._is_closed = True
            self._ahead.clear()
            self._turn.notify_all()
        self._changed.set()

    def abandon(self) -> None:
        """Let nobody wait for the thread, which may wait for a store; what it had to write is as if it was killed."""
        self.close()
        self._has_ended.set()

    async def ended(self) -> None:
        """Wait until the thread has ended, after `close`."""
        await self._has_ended.wait()

    async def _wait_for(self, number: int) -> None:
        while True:
            self._changed.clear()
            if self._error is not None and not self._ahead:
                raise self._error
            if self.is_complete or self._is_closed or self._error is not None or len(self._ahead) >= number:
                return
            await self._changed.wait()

    def _find(self) -> None:
        try:
            with contextlib.closing(self._entries) as entries:
                self._find_all(entries)
        except BaseException as exc:  # noqa: BLE001 - whoever takes the next photo gets it
            self._error = exc
        finally:
            self._tell(self._changed)
            self._tell(self._has_ended)

    def _find_all(self, entries: Iterator[PhotoEntry]) -> None:
        for entry in entries:
            with self._turn:
                while not self._is_closed and (
                    len(self._ahead) >= _MOST_AHEAD or (self._ahead and self._num_bytes >= _MOST_BYTES_AHEAD)
                ):
                    self._turn.wait()
                if self._is_closed:
                    return
                self._ahead.append(entry)
                self._num_bytes += _held_bytes(entry)
                self.num_known += 1
                wakes = len(self._ahead) == 1 or len(self._ahead) % 256 == 0
            if wakes:
                self._tell(self._changed)
        self.is_complete = True

    def _tell(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(event.set)


def _held_bytes(entry: PhotoEntry) -> int:
    return len(entry.data) if isinstance(entry, InsideEntry) and entry.data is not None else 0
