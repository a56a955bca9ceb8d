"""Files and folders that appear whole or not at all: written under a temporary name, then renamed.

    temporary_file    a path to write to, for libraries that open files themselves
    atomic_file       an open file; synced to the disk before and after it gets its name
    atomic_folder     a folder to fill

Names of temporary files begin with a dot, which readers of a whole folder (pyarrow, Spark, DuckDB's globs) leave out.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".writing"


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`, which is made; it is renamed to `path` when the context ends well.

    On any error nothing of it stays, and `path` is as it was.

    Raises:
        OSError: It cannot be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Return the name that a file has until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; at the end it is synced, renamed to `path`, and the folder synced.

    On any error nothing of it stays, and `path` is as it was. A process that is killed leaves the temporary file:
    `remove_temporary_files` drops it.

    Raises:
        OSError: The disk is full, or the folder is gone or not writable.
    """
    with temporary_file(path) as temporary, temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def remove_temporary_files(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder that no other process writes to."""
    for path in folder.glob(f".*{_SUFFIX}"):
        path.unlink()


@contextmanager
def atomic_folder(out: Path, prefix: str) -> Iterator[Path]:
    """Give a temporary folder to fill, which takes the place of `out` when the context ends well.

    Args:
        out: Where it is to lie; what is there is replaced.
        prefix: How its temporary name begins.

    Raises:
        OSError: It cannot be made there.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=out.parent) as parent:
        temporary = Path(parent) / "new"
        temporary.mkdir()
        yield temporary
        if out.exists():
            out.rename(Path(parent) / "replaced")
        temporary.rename(out)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder last through a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
