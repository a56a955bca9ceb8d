"""Which photos a command was given."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fsengine.errors import InvalidInputError

_WILDCARDS = frozenset(b"*?[")


def find_photos(arguments: Iterable[str], *, skip: Path | None = None) -> list[bytes]:
    """Return the absolute paths of all files that the arguments name, each once, in a stable order.

    Folders are searched with everything below them; links to folders are not followed. Every file counts,
    whatever its name: what is not a photo becomes a row that says so.

    Args:
        arguments: Files, folders and glob patterns (`**` goes down folders).
        skip: A folder whose content is left out: the one that results are written to.

    Raises:
        InvalidInputError: An argument names nothing.
    """
    skipped = None if skip is None else os.path.join(os.fsencode(skip.absolute()), b"")
    found: dict[bytes, None] = {}
    for argument in arguments:
        for path in _expand(os.fsencode(argument)):
            if skipped is None or not path.startswith(skipped):
                found.setdefault(path)
    return list(found)


def _expand(argument: bytes) -> Iterator[bytes]:
    if os.path.isdir(argument):
        yield from _walk(argument)
    elif os.path.lexists(argument):
        yield os.path.abspath(argument)
    elif _WILDCARDS & set(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        if not matches:
            raise InvalidInputError(f"no file matches {os.fsdecode(argument)!r}; check the pattern")
        for match in matches:
            if os.path.isdir(match):
                # `**` lists what lies below a folder itself.
                if b"**" not in argument:
                    yield from _walk(match)
            else:
                yield os.path.abspath(match)
    else:
        raise InvalidInputError(
            f"{os.fsdecode(argument)!r} does not exist; expected a photo, a folder of photos or a pattern"
        )


def _walk(folder: bytes) -> Iterator[bytes]:
    def refuse(error: OSError) -> None:
        raise InvalidInputError(
            f"folder {os.fsdecode(error.filename)!r} cannot be read: {error.strerror}; "
            "change its permissions or leave it out"
        ) from error

    for parent, folders, files in os.walk(os.path.abspath(folder), onerror=refuse):
        folders.sort()
        for name in sorted(files):
            yield os.path.join(parent, name)
