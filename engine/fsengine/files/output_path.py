"""Files that a command writes where the user says: never over what it reads, and over nothing that is there unasked."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from fsengine.errors import InvalidInputError
from fsengine.files.atomic import temporary_file, temporary_path
from fsengine.files.stores.store_path import AnyPath, StorePath

FileId = tuple[int, int]
"""Device and number of a file: the same for every name and link of it."""


class OutputPaths:
    """Says which files a command may write.

    A file counts as an input by what it is, not by how its path is spelled: other spellings, symbolic links and hard
    links of it are refused too.
    """

    def __init__(self, inputs: Iterable[AnyPath | bytes], *, overwrite: bool) -> None:
        """Look the inputs up.

        Args:
            inputs: Files that the command reads; what is not there cannot be harmed.
            overwrite: Whether other files that are there may be replaced.
        """
        self._inputs = {found for path in inputs if (found := _file_id(path)) is not None}
        self._overwrite = overwrite

    def check(self, path: Path, *, named: bool = True) -> None:
        """Refuse a path that must not be written; nothing is made or changed.

        Args:
            path: Of a file.
            named: Whether the user chose its name. One that was made from a photo's may be too long for a file, which
                is told where it is written, and stops no other.

        Raises:
            InvalidInputError: It is an input, or a file that is there without `overwrite`, or leads to what is no file,
                such as a pipe or a device, or cannot be written.
        """
        if named:
            _check_name(path)
        if _file_id(path) in self._inputs:
            raise InvalidInputError(f"{path} is one of the files that are read; choose another name for the output")
        if path.is_dir():
            raise InvalidInputError(f"{path} is a folder, expected a file to write")
        # It would be replaced by a file: /dev/null for everybody, where root asks.
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise InvalidInputError(f"{path} is a pipe, a device or a socket, expected a file to write")
        if os.path.lexists(path) and not self._overwrite:
            raise InvalidInputError(f"{path} is there already; choose another name, or replace it with --overwrite")
        parent = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
        if not parent.is_dir():
            raise InvalidInputError(f"{path} cannot be written: {parent} is no folder; choose another place")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise InvalidInputError(f"{path} cannot be written: you may not write to {parent}; choose another place")

    def write(self, path: Path, write: Callable[[Path], object]) -> None:
        """Write a file, whole or not at all. A link is replaced; what it leads to stays as it is.

        Args:
            path: Of the file; its folder is made.
            write: Writes to the path that it is given.

        Raises:
            InvalidInputError: See `check`; the file may have come into being since.
            OSError: It cannot be written.
        """
        with temporary_file(path) as temporary:
            write(temporary)
            self.check(path)


def _check_name(path: Path) -> None:
    """Refuse a name that no file can have, or none while it is written."""
    try:
        os.lstat(temporary_path(path))
    except ValueError as exc:
        raise InvalidInputError(f"{str(path)!r} is no path: {exc}; choose another name") from exc
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            shown = f"...{str(path)[-40:]}"
            raise InvalidInputError(
                f"{shown} is too long for a file; expected a name of at most 230 bytes, and a path of 4000"
            ) from exc


def _file_id(path: AnyPath | bytes) -> FileId | None:
    """Return what a path leads to; None where there is nothing, or nothing here."""
    if isinstance(path, StorePath):
        return None
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info.st_dev, info.st_ino
