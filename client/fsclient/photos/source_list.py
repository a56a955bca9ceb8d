"""A list of photos in a file or on stdin, a path in each line."""

from __future__ import annotations

import os
import sys

from fsengine.errors import InvalidInputError
from fsengine.files.regular_file import open_regular

MOST_BYTES = 4 << 30
_LONGEST_PATH = 4096
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_source_list(name: str, *, null: bool = False) -> list[bytes]:
    """Return the paths of a list.

    Args:
        name: File, or `-` for stdin; other pipes are refused, since one without a writer would be waited for for ever.
        null: Whether paths end with NUL, as `find -print0` writes them, and may hold the ends of lines.

    Raises:
        InvalidInputError: It cannot be read, is larger than 4 GiB, holds no path, or is no list.
    """
    what = "stdin" if name == "-" else name
    data = _read(name, what).removeprefix(_BYTE_ORDER_MARK)
    if not null and b"\0" in data:
        raise InvalidInputError(f"the list {what} holds NUL bytes; is it no list, or was --null meant?")
    lines = data.split(b"\0") if null else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    paths = [line for line in lines if line]
    if not paths:
        raise InvalidInputError(f"the list {what} is empty; expected a path in each line")
    if (longest := max(map(len, paths))) > _LONGEST_PATH:
        raise InvalidInputError(f"the list {what} has a line of {longest} bytes, which is no path")
    return paths


def _read(name: str, what: str) -> bytes:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with open_regular(name) as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read() if size <= MOST_BYTES else b""
    except OSError as exc:
        hint = "; a list from a program: --from-file -" if name != "-" else ""
        raise InvalidInputError(f"the list {what} cannot be read: {exc.strerror}{hint}") from exc
    if (name != "-" and size > MOST_BYTES) or len(data) > MOST_BYTES:
        raise InvalidInputError(f"the list {what} is larger than {MOST_BYTES:,} bytes; split it, and run for each part")
    return data
