"""Bring the parts of several folders into a new one, in few large parts: shards that were scored side by side.

.NAME.merging/   beside the new folder: its parts until all of them are there, then it becomes the folder
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from fsdata.compaction.compacting import PART_SIZE, Compaction, parts_of, planned
from fsdata.compaction.old_parts import OldPart, OnParts, by_kind, read_old_parts, untold
from fsdata.compaction.rewriting import rewrite
from fsdata.results.part_reading import part_state
from fsdata.results.parts import PartNumbers, locked, part_paths, results_file
from fsengine.errors import InvalidInputError, ResultsError
from fsengine.files.atomic import sync_folder
from fsengine.files.stores.store_path import AnyPath, StorePath
from fsengine.files.writing_errors import unwritable

_SOURCES_FILE = ".merged-parts"
"""In the folder until it is whole: a digest of what it is made from."""


def plan_merge(folders: Sequence[AnyPath], *, part_size: int = PART_SIZE, on_parts: OnParts = untold) -> Compaction:
    """Say what `merge` would do; nothing is changed.

    Raises:
        InvalidInputError: A folder holds no parts.
        ResultsError: A part cannot be read, or they are of different model sets, or a refresh was interrupted.
    """
    parts = read_old_parts([path for folder in _different(folders) for path in parts_of(folder)], on_parts)
    return planned(parts, parts, part_size)


def merge(
    folders: Sequence[AnyPath], out: Path, *, part_size: int = PART_SIZE, on_parts: OnParts = untold
) -> Compaction:
    """Bring the parts of folders into a new folder, which is there as a whole or not at all; they stay as they are.

    Of a photo that several hold, the row of the last folder counts. Killed at any moment, the same call goes on.

    Args:
        folders: Of results, of one model set. Those that may be written to are held meanwhile.
        out: The new folder; an empty one may be there.
        part_size: Photos of every new part but the last.
        on_parts: Told how far it is.

    Returns:
        What was done.

    Raises:
        InvalidInputError: A folder holds no parts, or `out` is none to make.
        ResultsError: See `compact`; another run may hold one of the folders.
    """
    folders = _different(folders)
    target = out.resolve()
    _check_new(target, folders)
    staging = target.with_name(f".{target.name}.merging")
    with ExitStack() as stack:
        for folder in folders:
            if not isinstance(folder, StorePath) and os.access(folder, os.W_OK):
                stack.enter_context(locked(folder))
        paths = [path for folder in folders for path in parts_of(folder)]
        stack.enter_context(locked(staging))
        done = _begin(staging, paths)
        # What an earlier run wrote is later than what it was written from.
        parts = read_old_parts([*paths, *done], on_parts)
        num_done, num_steps = len(parts), len(parts) + len(paths)
        old = parts[: len(paths)]
        numbers = PartNumbers(staging)
        for alike in by_kind(old):
            for _, used in rewrite(alike, numbers, part_size):
                num_done += len(used)
                on_parts(num_done, num_steps)
        _finish(staging, target)
    return _merged(parts, old, target)


def _merged(parts: Sequence[OldPart], old: Sequence[OldPart], target: Path) -> Compaction:
    """Return what was done."""
    found = planned(parts, old, 1)
    new = part_paths(target)
    return replace(
        found,
        num_dropped=sum(len(part.counts) for part in old) - found.num_photos,
        parts_before=len(old),
        parts_after=len(new),
        bytes_before=sum(part.num_bytes for part in old),
        bytes_after=sum(path.stat().st_size for path in new),
    )


def _different(folders: Sequence[AnyPath]) -> list[AnyPath]:
    """Return folders, each once."""
    found: dict[AnyPath, AnyPath] = {}
    for folder in folders:
        found.setdefault(folder if isinstance(folder, StorePath) else folder.resolve(), folder)
    return list(found.values())


def _check_new(target: Path, folders: Sequence[AnyPath]) -> None:
    """Refuse a folder that cannot be made of others.

    Raises:
        InvalidInputError: It is not new, or lies in one of the others, or could not take its name in the end.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInputError(f"{target} is there already and is not empty; expected a new folder")
    if target.is_mount():
        raise InvalidInputError(f"{target} is where a disk is mounted; name a new folder in it")
    for folder in folders:
        if not isinstance(folder, StorePath) and folder.resolve() in target.parents:
            raise InvalidInputError(f"{target} lies in {folder}, which is read; expected a folder beside it")


def _begin(staging: Path, paths: Sequence[AnyPath]) -> list[AnyPath]:
    """Return the new parts that an earlier run wrote from the same parts; those from others are removed."""
    digest = hashlib.sha256()
    for path in paths:
        num_bytes, mtime_ns = part_state(path)
        digest.update(f"{path.absolute()} {num_bytes} {mtime_ns}\n".encode("utf-8", "surrogateescape"))
    record, wanted = staging / _SOURCES_FILE, digest.hexdigest()
    if record.exists() and record.read_text() == wanted:
        return part_paths(staging)
    for path in part_paths(staging):
        path.unlink()
    with results_file(record) as file:
        file.write(wanted.encode())
    return []


def _finish(staging: Path, target: Path) -> None:
    """Give the new folder its name."""
    try:
        staging.rename(target)
        sync_folder(target.parent)
        (target / _SOURCES_FILE).unlink(missing_ok=True)
    except OSError as exc:
        raise ResultsError(unwritable(target, exc, "run again when that is mended")) from exc
