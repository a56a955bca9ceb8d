"""Rows on their way into parts: gathered, sorted by source, written and then counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pyarrow as pa

from fsdata.results.parts import PartWriter
from fsdata.results.rows import PhotoRow


class PartBuffer:
    """Gathers rows and writes a part when there are enough of them, or the first has waited long enough."""

    def __init__(
        self, writer: PartWriter, on_written: Callable[[pa.Table], object], *, part_size: int, part_s: float
    ) -> None:
        """Prepare.

        Args:
            writer: Of the parts.
            on_written: Called with the rows of each part once it is written.
            part_size: Rows of a part.
            part_s: Seconds after which a part is written though it is not full.
        """
        self._writer = writer
        self._on_written = on_written
        self._part_size = part_size
        self._part_s = part_s
        self._rows: list[PhotoRow] = []
        self._tables: list[pa.Table] = []
        self._num_rows = 0
        self._begun = time.monotonic()
        self._write_lock = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()

    async def add(self, row: PhotoRow) -> None:
        """Take a row; returns once the part that it fills, if any, is written."""
        self._rows.append(row)
        await self._added(1)

    async def add_table(self, rows: pa.Table) -> None:
        """Take rows that are a table of the parts' schema; see `add`."""
        self._tables.append(rows)
        await self._added(rows.num_rows)

    async def finish(self) -> None:
        """Write what is left; being cancelled does not stop it."""
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

    async def _added(self, num_rows: int) -> None:
        self._num_rows += num_rows
        if time.monotonic() - self._begun >= self._part_s:
            await self._flush(self._num_rows)
        elif self._num_rows >= self._part_size:
            await self._flush(self._num_rows - self._num_rows % self._part_size)

    async def _write_rest(self) -> None:
        await self._flush(self._num_rows)
        await asyncio.gather(*self._writes)

    async def _flush(self, num_rows: int) -> None:
        """Write the first rows at hand while others arrive; a cancelled caller does not stop it."""
        rows, self._rows = self._rows[:num_rows], self._rows[num_rows:]
        tables, self._tables = _split(self._tables, num_rows - len(rows))
        self._num_rows -= num_rows
        self._begun = time.monotonic()
        if num_rows:
            task = asyncio.create_task(self._write(rows, tables))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)
            await asyncio.shield(task)

    async def _write(self, rows: list[PhotoRow], tables: list[pa.Table]) -> None:
        async with self._write_lock:
            for part in await asyncio.to_thread(self._parts, rows, tables):
                await asyncio.to_thread(self._writer.write_table, part)
                self._on_written(part)

    def _parts(self, rows: list[PhotoRow], tables: list[pa.Table]) -> list[pa.Table]:
        """Return rows as tables of one part each."""
        found = pa.concat_tables([*tables, self._writer.table(rows)] if rows else tables)
        starts = range(0, found.num_rows, self._part_size)
        return [found.slice(start, self._part_size).combine_chunks().sort_by("source") for start in starts]


def _split(tables: list[pa.Table], num_rows: int) -> tuple[list[pa.Table], list[pa.Table]]:
    """Return tables up to a number of rows, and the rest."""
    if not tables:
        return [], []
    found = pa.concat_tables(tables)
    rest = found.slice(num_rows)
    return [found.slice(0, num_rows)], [rest] if rest.num_rows else []
