"""Make few large parts of the many small ones of a folder, and drop the rows that later ones of their photos replaced.

A new part gets a number above all others, and of a photo the row of the last part counts: as long as it and the old
ones that it was made from lie side by side, each of its rows counts in place of one that is the same. An old part goes
when the last of its rows that count is in a new part. Killed at any moment the folder holds what it held, and whoever
compacts it again goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fsdata.compaction.old_parts import OldPart, OnParts, by_kind, is_outdated, read_old_parts, untold
from fsdata.compaction.rewriting import rewrite
from fsdata.results.parts import PartNumbers, locked, part_paths
from fsdata.results.staging import refuse_interrupted
from fsengine.errors import InvalidInputError, ResultsError
from fsengine.files.atomic import sync_folder
from fsengine.files.stores.store_path import AnyPath, StorePath
from fsengine.files.writing_errors import unwritable

PART_SIZE = 100_000
"""Photos of a new part: 1000 parts for a hundred million, of 12 MB, or 200 MB with embeddings of 512 numbers.

So large do engines and object stores like files, and so little does an interrupted refresh do again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What was done, or would be.

    Attributes:
        num_photos: Photos, each counted once.
        num_dropped: Rows that a later row of their photo replaced.
        num_rewritten: Old parts that are made anew, or hold no row that counts.
        parts_before: Parts that were there.
        parts_after: Parts that are there then.
        bytes_before: Size of the parts that were there.
        bytes_after: Size of those that are there then; None where nothing was written.
    """

    num_photos: int
    num_dropped: int
    num_rewritten: int
    parts_before: int
    parts_after: int
    bytes_before: int
    bytes_after: int | None = None


def plan_compaction(folder: AnyPath, *, part_size: int = PART_SIZE, on_parts: OnParts = untold) -> Compaction:
    """Say what `compact` would do; nothing is changed.

    Raises:
        InvalidInputError: The folder holds no parts.
        ResultsError: A part cannot be read, parts of different model sets lie together, or a refresh was interrupted.
    """
    parts = read_old_parts(parts_of(folder), on_parts)
    return planned(parts, _to_rewrite(parts, part_size), part_size)


def compact(folder: AnyPath, *, part_size: int = PART_SIZE, on_parts: OnParts = untold) -> Compaction:
    """Make parts of `part_size` photos of the smaller ones, and of those that hold rows that do not count.

    Parts that are as large, or larger, and hold none stay as they are. Rows stay in their order; those of different
    servers go into different parts, which say so. Room is needed for one new part, and not for all.

    Args:
        folder: Of results.
        part_size: Photos of every new part but the last.
        on_parts: Told how far it is.

    Returns:
        What was done.

    Raises:
        InvalidInputError: The folder holds no parts, or lies in a store.
        ResultsError: A part cannot be read, parts of different model sets lie together, another run holds the folder,
            a refresh was interrupted, or a new part cannot be written. The folder holds all of its photos then.
    """
    if isinstance(folder, StorePath):
        raise InvalidInputError(
            f"{folder} lies in a store, where nothing keeps others from writing parts meanwhile; bring it into a new "
            f"folder on a disk: `fsclient table compact {folder} --out DIR`"
        )
    with locked(folder):
        paths = parts_of(folder)
        parts = read_old_parts(paths, on_parts)
        old = _to_rewrite(parts, part_size)
        plan = planned(parts, old, part_size)
        num_bytes, num_done = plan.bytes_before, len(parts)

        def removed(used: Sequence[OldPart]) -> None:
            nonlocal num_bytes, num_done
            _remove(used)
            num_bytes -= sum(part.num_bytes for part in used)
            num_done += len(used)
            on_parts(num_done, len(parts) + len(old))

        removed([part for part in old if not part.num_counting])
        numbers = PartNumbers(folder)
        for alike in by_kind(old):
            for new, used in rewrite(alike, numbers, part_size):
                num_bytes += new.stat().st_size
                removed(used)
        if old:
            sync_folder(folder)
        return replace(plan, bytes_after=num_bytes)


def parts_of(folder: AnyPath) -> list[AnyPath]:
    """Return the parts of a folder, oldest first.

    Raises:
        InvalidInputError: It holds none.
        ResultsError: It cannot be read, or a refresh was interrupted.
    """
    refuse_interrupted(folder)
    if not (paths := part_paths(folder)):
        raise InvalidInputError(f"{folder} holds no parts; expected a folder written by `fsclient ingest --out`")
    return paths


def planned(parts: Sequence[OldPart], old: Sequence[OldPart], part_size: int) -> Compaction:
    """Return what becomes of parts, of which some are made anew."""
    num_photos = sum(part.num_counting for part in parts)
    return Compaction(
        num_photos=num_photos,
        num_dropped=sum(len(part.counts) for part in parts) - num_photos,
        num_rewritten=len(old),
        parts_before=len(parts),
        parts_after=len(parts) - len(old) + sum(_num_new(alike, part_size) for alike in by_kind(old)),
        bytes_before=sum(part.num_bytes for part in parts),
    )


def _to_rewrite(parts: Sequence[OldPart], part_size: int) -> list[OldPart]:
    """Return the parts to make anew: none of a kind where there would be as many of them, with the same rows."""
    found = [part for part in parts if not part.num_counting]
    if len(found) == len(parts):
        return []  # no rows at all
    for alike in by_kind(parts):
        loose = [part for part in alike if len(part.counts) < part_size or is_outdated(part)]
        if len(loose) > _num_new(loose, part_size) or any(map(is_outdated, loose)):
            found += loose
    return found


def _num_new(parts: Sequence[OldPart], part_size: int) -> int:
    """Return how many new parts the rows that count fill."""
    return -(-sum(part.num_counting for part in parts) // part_size)


def _remove(parts: Sequence[OldPart]) -> None:
    for part in parts:
        assert isinstance(part.path, Path)  # those in stores are never removed
        try:
            part.path.unlink(missing_ok=True)
        except OSError as exc:
            raise ResultsError(unwritable(part.path.parent, exc, "run again when that is mended")) from exc
