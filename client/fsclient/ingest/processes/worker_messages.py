"""What an ingest and its worker processes tell each other, over a socket that only they hold.

To a worker goes one `Job`, then `Entries`, and at the end `Finish` or `GiveUp`. It answers with `Rows`, `Wanted` and
`Left`, and at the end with `Ended`; it goes when its parent closes the socket. A worker whose socket closes before ends
at once.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from fsclient.backend.protocol import InferenceBackend
from fsclient.ingest.photo_workers import Scoring
from fsclient.photos.entry import PhotoEntry
from fsengine.errors import FaceStatsError

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Job:
    """What a worker is for.

    Attributes:
        connect: Makes its connection to the server.
        scoring: How it scores photos.
        schema: Of its rows.
    """

    connect: Callable[[], InferenceBackend]
    scoring: Scoring
    schema: pa.Schema


@dataclass(frozen=True)
class Entries:
    """Photos to score."""

    entries: list[PhotoEntry]


@dataclass(frozen=True)
class Finish:
    """No further photos come; with `now` those that were not begun are left."""

    now: bool


@dataclass(frozen=True)
class GiveUp:
    """Photos in flight are given up too."""


@dataclass(frozen=True)
class Rows:
    """Photos that were scored, as a record batch of the job's schema in Arrow's IPC form."""

    batch: bytes
    num_faces: int


@dataclass(frozen=True)
class Wanted:
    """So many more photos can be taken."""

    number: int


@dataclass(frozen=True)
class Left:
    """A photo that server or store could not be had for."""

    source: str
    error: FaceStatsError


@dataclass(frozen=True)
class Ended:
    """The worker has handed over all that it scored; `error` is what ended it early."""

    error: FaceStatsError | None


ToWorker: TypeAlias = Job | Entries | Finish | GiveUp
FromWorker: TypeAlias = Rows | Wanted | Left | Ended


class Channel:
    """One end of the socket between the two."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an end that `connected` opened."""
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connected(cls, end: socket.socket) -> Channel:
        """Return the channel over an end of a socket, which it closes."""
        return cls(*await asyncio.open_connection(sock=end))

    async def send(self, message: ToWorker | FromWorker) -> None:
        """Send a message after those before it; where the other side is gone, the listener notices."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        async with self._turn:
            with suppress(OSError):
                self._writer.write(_LENGTH.pack(len(data)))
                self._writer.write(data)
                await self._writer.drain()

    async def receive(self) -> ToWorker | FromWorker | None:
        """Return the next message, or None where the other side is gone, in the middle of one even."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            message: ToWorker | FromWorker = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - from a process of ours, over a socket of ours
        except (OSError, EOFError):
            return None
        return message

    async def other_end_closed(self) -> None:
        """Wait until the other side is gone; what it sends meanwhile is dropped."""
        with suppress(OSError):
            while await self._reader.read(_LENGTH.size):
                pass

    def close(self) -> None:
        """Close this end; what was sent arrives."""
        self._writer.close()
