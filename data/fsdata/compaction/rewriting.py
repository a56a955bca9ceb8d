"""Write the rows of old parts that count into new ones, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.compaction.old_parts import OldPart
from fsdata.results.part_reading import changed_meanwhile, open_part
from fsdata.results.parts import ROW_GROUP_SIZE, WRITE_OPTIONS, PartNumbers, results_file
from fsengine.files.stores.store_path import AnyPath


def rewrite(parts: Sequence[OldPart], numbers: PartNumbers, part_size: int) -> Iterator[tuple[AnyPath, list[OldPart]]]:
    """Write the rows that count, in their order, into new parts; each is on the disk, whole, when it is yielded.

    A few row groups are held in memory, however large the parts are.

    Args:
        parts: Of one kind, oldest first.
        numbers: Of the new parts.
        part_size: Rows of every new part but the last.

    Yields:
        A new part, and the old ones of which it holds the last of the rows that count.

    Raises:
        ResultsError: An old part cannot be read or was changed, or a new one not be written, which is not there then.
    """
    schema = parts[0].kind.schema
    ends = list(accumulate(part.num_counting for part in parts))
    batches = _batches(parts, part_size)
    num_written = num_used = 0
    while num_written < ends[-1]:
        target = numbers.path()
        part_end = min(num_written + part_size, ends[-1])
        with results_file(target) as file, pq.ParquetWriter(file, schema, **WRITE_OPTIONS) as writer:
            while num_written < part_end:
                table = next(batches)
                writer.write_table(table, ROW_GROUP_SIZE)
                num_written += len(table)
        used = [part for part, end in zip(parts[num_used:], ends[num_used:], strict=True) if end <= num_written]
        num_used += len(used)
        yield target, used


def _batches(parts: Sequence[OldPart], part_size: int) -> Iterator[pa.Table]:
    """Return the rows that count as row groups of new parts: whole ones, but for the last of each part."""
    held: list[pa.Table] = []
    num_held, free = 0, part_size
    for part in parts:
        for table in _counting(part):
            held.append(table)
            num_held += len(table)
            while num_held >= (size := min(ROW_GROUP_SIZE, free)):
                rows = pa.concat_tables(held)
                yield rows.slice(0, size)
                held = [rows.slice(size)]
                num_held -= size
                free = free - size or part_size
    if num_held:
        yield pa.concat_tables(held)


def _counting(old: OldPart) -> Iterator[pa.Table]:
    """Return the rows of a part that count, a table for each row group that holds some, in the schema of its kind."""
    if not old.num_counting:
        return
    with open_part(old.path) as part:
        if part.num_rows != len(old.counts) or not old.kind.has(part):
            raise changed_meanwhile(old.path)
        first = 0
        for number, size in enumerate(part.group_sizes):
            keep = old.counts[first : first + size]
            first += size
            if keep.any():
                table = part.group(number)
                yield (table if keep.all() else table.filter(pa.array(keep))).cast(old.kind.schema)
