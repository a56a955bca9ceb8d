"""A list of photos in a file or on stdin, a path in each line."""

from __future__ import annotations

import sys
from pathlib import Path

from fsengine.errors import InvalidInputError

_MOST_BYTES = 4 << 30
_LONGEST_PATH = 4096


def read_source_list(name: str, *, null: bool = False) -> list[bytes]:
    """Return the paths of a list.

    Args:
        name: File, or `-` for stdin.
        null: Whether paths end with NUL, as `find -print0` writes them, and may hold the ends of lines.

    Raises:
        InvalidInputError: It cannot be read, holds no path, or is no list.
    """
    what = "stdin" if name == "-" else name
    try:
        data = sys.stdin.buffer.read(_MOST_BYTES) if name == "-" else Path(name).read_bytes()
    except OSError as exc:
        raise InvalidInputError(f"the list {what} cannot be read: {exc.strerror}") from exc
    if not null and b"\0" in data:
        raise InvalidInputError(f"the list {what} holds NUL bytes; is it no list, or was --null meant?")
    lines = data.split(b"\0") if null else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    paths = [line for line in lines if line]
    if not paths:
        raise InvalidInputError(f"the list {what} is empty; expected a path in each line")
    if (longest := max(map(len, paths))) > _LONGEST_PATH:
        raise InvalidInputError(f"the list {what} has a line of {longest} bytes, which is no path")
    return paths
