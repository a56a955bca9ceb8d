"""Write a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fsengine.errors import ResultsError

_BESIDE_PATTERN = ".*.writing"
"""Half-written files; readers of a whole folder leave names with a dot out."""


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path`; at the end it is synced and renamed to it, and the folder synced.

    On any error nothing of it stays.

    Raises:
        ResultsError: The disk is full, or the folder is gone or not writable.
    """
    beside = path.with_name(f".{path.name}.writing")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        sync_folder(path.parent)
    except OSError as exc:
        beside.unlink(missing_ok=True)
        raise ResultsError(
            f"{path} cannot be written: {exc.strerror}; make room or choose another folder, and run again"
        ) from exc
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def drop_left_over(folder: Path) -> None:
    """Remove what a killed run left half-written in a folder that no other run writes to."""
    for path in folder.glob(_BESIDE_PATTERN):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
