"""What old parts hold: which of their rows count, and which of them can become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsdata.results.digests import Digests, LastRows, source_digests
from fsdata.results.part_reading import PartFile, changed_meanwhile, open_part, part_state
from fsdata.results.schema import FACES, LATER_COLUMNS, PartInfo
from fsengine.errors import ResultsError, StoreError
from fsengine.files.stores.store_path import AnyPath, StorePath

OnParts = Callable[[int, int], object]
"""Told how many parts were gone through, and of how many; each part that is made anew is gone through twice."""

_SHARES = 16
"""Of the digests, each sorted by itself."""


def untold(done: int, total: int) -> None:
    """Take no notice of how far it is."""


@dataclass(slots=True, kw_only=True)
class PartKind:
    """What parts that can become one share: what they were made with, and their columns.

    Attributes:
        info: What they were made with.
        schema: Of the last of them, with what it says of itself.
    """

    info: PartInfo
    schema: pa.Schema

    def has(self, part: PartFile) -> bool:
        """Return whether a part is of this kind; columns that it is too old to have are no difference."""
        return part.info == self.info and bool(part.schema.equals(self.schema))


@dataclass(frozen=True, slots=True, kw_only=True)
class OldPart:
    """A part.

    Attributes:
        path: Its path.
        kind: Its kind.
        num_bytes: Its size.
        counts: bool (rows,), whether each row is the last of its photo.
        num_counting: Rows that are.
    """

    path: AnyPath
    kind: PartKind
    num_bytes: int
    counts: NDArray[np.bool_]
    num_counting: int


def by_kind(parts: Sequence[OldPart]) -> list[list[OldPart]]:
    """Return the parts that hold rows that count, those of one kind together, oldest first."""
    found: dict[int, list[OldPart]] = {}
    for part in parts:
        if part.num_counting:
            found.setdefault(id(part.kind), []).append(part)
    return list(found.values())


def read_old_parts(paths: Sequence[AnyPath], on_parts: OnParts) -> list[OldPart]:
    """Read which rows of parts count; of a photo that has several it is the last.

    Some 20 bytes for each row are held in memory meanwhile, and a byte afterwards.

    Args:
        paths: Of the parts, oldest first.
        on_parts: Told how far it is.

    Raises:
        ResultsError: A part cannot be read, or they are of different model sets, or their faces differ in columns.
    """
    chunks: list[Digests] = []
    kinds: list[PartKind] = []
    found: list[tuple[PartKind, int]] = []
    for number, path in enumerate(paths):
        with open_part(path) as part:
            if kinds:
                _refuse_other(part, kinds[0])
            kind = next((kind for kind in reversed(kinds) if kind.has(part)), None)
            if kind is None:
                kinds.append(kind := PartKind(info=part.info, schema=part.schema))
            kind.schema = part.schema
            chunks += [source_digests(table["source"].combine_chunks()) for table in part.groups(["source"])]
            found.append((kind, part.num_rows))
        on_parts(number + 1, 2 * len(paths))
    counts = _last_of_each(chunks)
    parts = []
    start = 0
    for path, (kind, num_rows) in zip(paths, found, strict=True):
        of_part = counts[start : start + num_rows]
        start += num_rows
        parts.append(
            OldPart(
                path=path,
                kind=kind,
                num_bytes=part_state(path)[0],
                counts=of_part,
                num_counting=int(np.count_nonzero(of_part)),
            )
        )
    return parts


def _last_of_each(chunks: Sequence[Digests]) -> NDArray[np.bool_]:
    """Return whether each row is the last of its digest, bool (rows,): share by share, which takes little memory."""
    starts = np.cumsum([0, *map(len, chunks)])
    last = np.zeros(starts[-1], np.bool_)
    for share in range(_SHARES):
        places = [np.flatnonzero(chunk[:, 0] % np.uint64(_SHARES) == share) for chunk in chunks]
        found = LastRows([chunk[at] for chunk, at in zip(chunks, places, strict=True)]).mask()
        rows = [at + start for at, start in zip(places, starts[:-1], strict=True)]
        last[np.concatenate(rows)[found]] = True
    return last


def is_outdated(part: OldPart) -> bool:
    """Return whether a part holds rows that do not count, or is too old to have a column.

    Raises:
        ResultsError: It cannot be read.
    """
    if not part.counts.all():
        return True
    try:
        with part.path.open_bytes() if isinstance(part.path, StorePath) else part.path.open("rb") as file:
            return not set(pq.read_schema(file).names).issuperset(LATER_COLUMNS)
    except (pa.ArrowException, OSError, StoreError) as exc:
        raise changed_meanwhile(part.path) from exc


def _refuse_other(part: PartFile, first: PartKind) -> None:
    """Refuse a part that does not belong with the first one."""
    found, expected = part.info.models.model_set_id, first.info.models.model_set_id
    if found != expected:
        raise ResultsError(
            f"{part.path} was made with model set {found}, the parts before it with {expected}; results of different "
            "sets do not mix: keep them in different folders"
        )
    theirs, ours = part.schema.field(FACES).type.value_type, first.schema.field(FACES).type.value_type
    if not theirs.equals(ours):
        names = sorted({field.name for field in set(theirs) ^ set(ours)})
        raise ResultsError(
            f"{part.path} differs from the parts before it in the columns of faces {', '.join(names)}; keep them in "
            "different folders"
        )
