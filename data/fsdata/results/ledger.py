"""The ledger: what the parts of a folder say was done. Resuming reads it and needs no other state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsdata.results.digests import Digests, LastRows, photo_digests
from fsdata.results.parts import open_part, part_paths
from fsdata.results.schema import PartInfo, holds_embeddings
from fsdata.results.status import Status
from fsengine.errors import ResultsError

PhotoKey = tuple[str, int, int]
"""(source, bytes, mtime_ns): a photo's file in one state of it."""

_STATUSES = tuple(Status)
_STATUS_NAMES = pa.array([status.value for status in _STATUSES])


class Ledger:
    """The last status of each photo's file in each of its states, found by digest (see `fsdata.results.digests`).

    It takes 25 bytes of memory for a row.

    Attributes:
        info: What the parts were made with; None without parts.
        embeddings: Whether their faces have embeddings; None without parts.
    """

    def __init__(
        self, info: PartInfo | None, embeddings: bool | None, rows: LastRows, codes: NDArray[np.uint8]
    ) -> None:
        """Hold what `read_ledger` read.

        Args:
            info: What the parts were made with.
            embeddings: Whether their faces have embeddings.
            rows: Of the digests of photo keys.
            codes: uint8 (rows,), the place of each row's status in `Status`.
        """
        self.info = info
        self.embeddings = embeddings
        self._rows = rows
        self._codes = codes

    def __len__(self) -> int:
        """Return the number of different keys."""
        return len(self._rows)

    def statuses_of(self, keys: Sequence[PhotoKey]) -> list[Status | None]:
        """Return the status of each key, None where no part holds it; some ten thousand keys at a time go fastest."""
        if not keys:
            return []
        sources, num_bytes, mtime_ns = zip(*keys, strict=True)
        rows = self._rows.find(photo_digests(sources, np.array(num_bytes, np.int64), np.array(mtime_ns, np.int64)))
        if not len(self):
            return [None] * len(keys)
        codes = self._codes[rows]
        return [_STATUSES[code] if row >= 0 else None for row, code in zip(rows.tolist(), codes.tolist(), strict=True)]


def read_ledger(folder: Path) -> Ledger:
    """Read the ledger of a folder.

    Raises:
        ResultsError: A part cannot be read, or parts of different model sets, or with and without embeddings, lie
            together.
    """
    chunks: list[Digests] = []
    codes = [np.empty(0, np.uint8)]
    info: PartInfo | None = None
    embeddings: bool | None = None
    for path in part_paths(folder):
        with open_part(path) as part:
            if info is not None and part.info.models.model_set_id != info.models.model_set_id:
                raise ResultsError(
                    f"{path} was made with model set {part.info.models.model_set_id}, the parts before it with "
                    f"{info.models.model_set_id}; results of different sets do not mix: keep them in different folders"
                )
            if embeddings is not None and embeddings is not holds_embeddings(part.schema):
                has = ("no embeddings", "embeddings")
                raise ResultsError(
                    f"{path} holds {has[not embeddings]}, the parts before it hold {has[embeddings]}; keep them in "
                    "different folders"
                )
            info, embeddings = part.info, holds_embeddings(part.schema)
            for table in part.groups(["source", "bytes", "mtime_ns", "status"]):
                source, num_bytes, mtime_ns = (table[name] for name in ("source", "bytes", "mtime_ns"))
                chunks.append(photo_digests(source.combine_chunks(), num_bytes.to_numpy(), mtime_ns.to_numpy()))
                codes.append(_codes(table["status"], path))
    return Ledger(info, embeddings, LastRows(chunks), np.concatenate(codes))


def _codes(statuses: pa.ChunkedArray, path: Path) -> NDArray[np.uint8]:
    """Return the place of each status in `Status`, uint8 (N,)."""
    codes = pc.index_in(statuses, value_set=_STATUS_NAMES)
    if codes.null_count:
        unknown = statuses.filter(codes.is_null())[0].as_py()
        raise ResultsError(
            f"{path} holds the status {unknown!r}, expected one of {', '.join(s.value for s in _STATUSES)}; "
            "use the fsclient that wrote it"
        )
    found: NDArray[np.uint8] = codes.to_numpy().astype(np.uint8)
    return found
