"""Which row of a source counts: the last, in the order of the parts and of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsdata.results.digests import LastRows, source_digests
from fsdata.results.part_reading import PartFile, changed_meanwhile, open_part
from fsengine.files.stores.store_path import AnyPath


def last_rows(paths: Sequence[AnyPath]) -> LastRows:
    """Return the last row of each source, counted over all parts; its digests are `source_digests`.

    Raises:
        ResultsError: A part cannot be read.
    """
    chunks = []
    for path in paths:
        with open_part(path) as part:
            chunks += [source_digests(table["source"].combine_chunks()) for table in part.groups(["source"])]
    return LastRows(chunks)


class LatestPhotos:
    """The rows of some parts that count, one for each photo, in the order of the parts.

    A byte for each row is held in memory.
    """

    def __init__(self, paths: Sequence[AnyPath]) -> None:
        """Read the sources of parts, oldest first.

        Raises:
            ResultsError: A part cannot be read.
        """
        self._paths = list(paths)
        rows = last_rows(self._paths)
        self.num_photos = len(rows)
        self._counts = rows.mask()

    def tables(
        self, columns: Sequence[str] | None = None, *, sources: pa.Array | None = None
    ) -> Iterator[tuple[PartFile, pa.Table]]:
        """Return the photos of each row group that holds some, and the part that they lie in.

        Args:
            columns: Paths of columns, see `PartFile.group`; None for all.
            sources: Photos to return, as strings; None for all.

        Raises:
            ResultsError: A part cannot be read, or was changed since.
        """
        start = 0
        for path in self._paths:
            with open_part(path) as part:
                counts = self._counts[start : start + part.num_rows]
                start += part.num_rows
                if start > len(self._counts):
                    raise changed_meanwhile(path)
                first = 0
                for number, size in enumerate(part.group_sizes):
                    keep = counts[first : first + size]
                    first += size
                    if sources is not None and keep.any():
                        found = part.group(number, ["source"])["source"]
                        keep = keep & pc.is_in(found, value_set=sources).to_numpy()
                    if keep.any():
                        table = part.group(number, columns)
                        yield part, (table if keep.all() else table.filter(pa.array(keep))).combine_chunks()
        if start != len(self._counts):
            raise changed_meanwhile(self._paths[-1].parent)


def photos_at(
    paths: Sequence[AnyPath], starts: NDArray[np.int64], rows: NDArray[np.int64], columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Return some rows of parts, in their order, a table for each row group that holds some.

    Args:
        paths: The parts, oldest first.
        starts: int64 (parts + 1,), see `Ledger.starts`.
        rows: int64 (N,), the rows, counted over all parts and sorted.
        columns: Paths of columns; None for all.

    Raises:
        ResultsError: A part cannot be read, or was changed since.
    """
    for number in np.unique(np.searchsorted(starts, rows, side="right") - 1).tolist():
        with open_part(paths[number]) as part:
            if part.num_rows != starts[number + 1] - starts[number]:
                raise changed_meanwhile(paths[number])
            first = int(starts[number])
            for group, size in enumerate(part.group_sizes):
                wanted = rows[(rows >= first) & (rows < first + size)] - first
                first += size
                if wanted.size:
                    yield part.group(group, columns).take(pa.array(wanted)).combine_chunks()
