"""The file that a server's address lies in from when it is ready until it is stopped."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from fsengine.errors import InvalidInputError
from fsengine.files.atomic import temporary_file
from fsengine.files.regular_file import open_regular

_ADDRESS = re.compile(rb"(?:https?://)?(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}\n")
_LONGEST_ADDRESS = 300
"""Bytes of a ready file."""


def remove_stale_ready_file(path: Path) -> None:
    """Remove what a server that was killed left as its ready file, and nothing else.

    Raises:
        InvalidInputError: It is something else, it cannot be removed, or its folder is missing.
    """
    if not path.parent.is_dir():
        raise InvalidInputError(f"--ready-file {path}: there is no folder {path.parent}; make it, or choose another")
    try:
        content = _content(path)
        if content is None:
            return
        if not _ADDRESS.fullmatch(content):
            raise InvalidInputError(f"--ready-file {path} is there and holds no address; choose another name")
        path.unlink()
    except OSError as exc:
        raise InvalidInputError(f"--ready-file {path} cannot be used: {exc.strerror}; choose another name") from exc


@contextlib.contextmanager
def holding_address(path: Path | None, address: str) -> Iterator[None]:
    """Have a file hold an address, and remove it afterwards unless it holds something else by then.

    Args:
        path: The file; None for none.
        address: `host:port`, or a URL.

    Raises:
        InvalidInputError: It cannot be written.
    """
    if path is None:
        yield
        return
    line = f"{address}\n"
    try:
        with temporary_file(path) as temporary:
            temporary.write_text(line)
    except OSError as exc:
        raise InvalidInputError(f"--ready-file {path} cannot be written: {exc.strerror}") from exc
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _content(path) == line.encode():
                path.unlink()


def _content(path: Path) -> bytes | None:
    """Return what a file holds, cut where no address is as long; None where there is none.

    Raises:
        OSError: It cannot be read.
        InvalidInputError: It is a link to nothing.
    """
    try:
        with open_regular(path) as file:
            return file.read(_LONGEST_ADDRESS + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise InvalidInputError(f"--ready-file {path} is a link to nothing; choose another name") from None
        return None
