"""The ledger: what the parts of a folder say was done. Resuming reads it and needs no other state."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsdata.results.digests import Digests, LastRows, source_digests
from fsdata.results.part_reading import open_part
from fsdata.results.parts import part_paths
from fsdata.results.schema import PartInfo, holds_embeddings
from fsdata.results.status import Status
from fsengine.errors import ResultsError
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.store_path import AnyPath

T = TypeVar("T", bound=np.generic)

PhotoKey = tuple[str, ObjectState]
"""A photo's source, and the state that it is in."""

_STATUSES = tuple(Status)
_STATUS_NAMES = pa.array([status.value for status in _STATUSES])


class Ledger:
    """What the last row of each photo says, found by digest (see `fsdata.results.digests`).

    It takes 34 bytes of memory for a row.

    Attributes:
        info: What the parts were made with; None without parts.
        embeddings: Whether their faces have embeddings; None without parts.
        paths: The parts, oldest first.
        starts: int64 (parts + 1,), the first row of each part, counted over all of them, and the number of rows.
    """

    def __init__(
        self,
        info: PartInfo | None,
        embeddings: bool | None,
        paths: Sequence[AnyPath],
        starts: Sequence[int],
        rows: LastRows,
        codes: NDArray[np.uint8],
        states: NDArray[np.uint64],
    ) -> None:
        """Hold what `read_ledger` read.

        Args:
            info: What the parts were made with.
            embeddings: Whether their faces have embeddings.
            paths: The parts.
            starts: Of the parts.
            rows: Of the digests of sources.
            codes: uint8 (rows,), the place of each row's status in `Status`.
            states: uint64 (rows,), a digest of the state that each photo was in.
        """
        self.info = info
        self.embeddings = embeddings
        self.paths = tuple(paths)
        self.starts = np.asarray(starts, np.int64)
        self._rows = rows
        self._codes = codes
        self._states = states
        self._met = np.zeros(len(codes), np.bool_)

    def __len__(self) -> int:
        """Return the number of different photos."""
        return len(self._rows)

    def rows_of(self, sources: Sequence[str]) -> NDArray[np.int64]:
        """Return the last row of each photo, counted over all parts, int64 (N,), -1 where there is none.

        Photos that were asked for here count as met; see `unmet_rows`. Some ten thousand at a time go fastest.
        """
        if not len(self):
            return np.full(len(sources), -1)
        rows = self._rows.find(source_digests(sources))
        self._met[rows[rows >= 0]] = True
        return rows

    def statuses_at(self, rows: Sequence[int], states: Sequence[ObjectState]) -> list[Status | None]:
        """Return the status in each of some rows; None where its photo was in another state then.

        Args:
            rows: Counted over all parts.
            states: That their photos are in now.
        """
        at = np.asarray(rows, np.int64)
        known = self._states[at] == state_digests(
            np.fromiter((state.num_bytes for state in states), np.int64, len(states)),
            np.fromiter((state.mtime_ns for state in states), np.int64, len(states)),
            [state.etag for state in states],
        )
        codes = self._codes[at].tolist()
        return [_STATUSES[code] if is_known else None for code, is_known in zip(codes, known.tolist(), strict=True)]

    def statuses_of(self, keys: Sequence[PhotoKey]) -> list[Status | None]:
        """Return the status of each photo, None where no part holds it, or in another state."""
        rows = self.rows_of([source for source, _ in keys]).tolist()
        held = iter(
            self.statuses_at(
                [row for row in rows if row >= 0],
                [state for row, (_, state) in zip(rows, keys, strict=True) if row >= 0],
            )
        )
        return [next(held) if row >= 0 else None for row in rows]

    def unmet_rows(self) -> NDArray[np.int64]:
        """Return the rows of photos that were not asked for, int64 (N,), in their order."""
        return np.flatnonzero(self._rows.mask() & ~self._met) if len(self) else np.empty(0, np.int64)


def state_digests(
    num_bytes: NDArray[np.int64], mtime_ns: NDArray[np.int64], etags: Sequence[str | None]
) -> NDArray[np.uint64]:
    """Return a digest of each photo's state: of the ETag where there is one, else of size and time.

    An object that is copied keeps its ETag and gets a new time. Two states of one photo share a digest with a chance of
    about 1 / 2**64.

    Args:
        num_bytes: int64 (N,).
        mtime_ns: int64 (N,), nanoseconds since 1970.
        etags: N texts, None where there is none.
    """
    found = _mixed(_mixed(num_bytes.astype(np.uint64)) ^ mtime_ns.astype(np.uint64))
    for place, etag in enumerate(etags):
        if etag is not None:
            digest = blake2b(etag.encode("utf-8", "surrogateescape"), digest_size=8).digest()
            found[place] = int.from_bytes(digest, "little")
    return found


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers whose bits all depend on all bits (SplitMix64, doi.org/10.1145/2714064.2660195)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def read_ledger(folder: AnyPath) -> Ledger:
    """Read the ledger of a folder.

    Raises:
        ResultsError: A part cannot be read, or parts of different model sets, or with and without embeddings, lie
            together.
    """
    chunks: list[Digests] = []
    codes: list[NDArray[np.uint8]] = []
    states: list[NDArray[np.uint64]] = []
    info: PartInfo | None = None
    embeddings: bool | None = None
    paths, starts = part_paths(folder), [0]
    for path in paths:
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
            starts.append(starts[-1] + part.num_rows)
            for table in part.groups(["source", "bytes", "mtime_ns", "etag", "status"]):
                chunks.append(source_digests(table["source"].combine_chunks()))
                codes.append(_codes(table["status"], path))
                num_bytes, mtime_ns = table["bytes"].to_numpy(), table["mtime_ns"].to_numpy()
                etags = table["etag"]
                known = [] if etags.null_count == len(etags) else etags.to_pylist()
                states.append(state_digests(num_bytes, mtime_ns, known))
    rows = LastRows(chunks)
    return Ledger(info, embeddings, paths, starts, rows, _joined(codes, np.uint8), _joined(states, np.uint64))


def _joined(arrays: list[NDArray[T]], dtype: type[T]) -> NDArray[T]:
    """Return arrays as one, and let go of each as it is copied."""
    joined = np.empty(sum(map(len, arrays)), dtype)
    end = len(joined)
    while arrays:
        array = arrays.pop()
        joined[end - len(array) : end] = array
        end -= len(array)
    return joined


def _codes(statuses: pa.ChunkedArray, path: AnyPath) -> NDArray[np.uint8]:
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
