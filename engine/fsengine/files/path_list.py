"""Lists of photos as people and programs hand them on: a path in each line of a file or of stdin."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fsengine.errors import InvalidInputError, StoreError, StoreUnavailableError
from fsengine.files.regular_file import open_regular
from fsengine.files.stores.store_urls import checked_url, is_url, local_path, public_url

STDIN = "-"

MOST_BYTES = 4 << 30
_LONGEST_PATH = 4096
_CHUNK_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_path_list(name: str, *, null: bool = False) -> list[bytes]:
    """Return the paths of a list; see `path_lines`."""
    return list(path_lines(name, null=null))


def path_lines(name: str, *, null: bool = False) -> Iterator[bytes]:
    """Yield the paths of a list as they are read.

    Args:
        name: File, URL of an object, or `-` for stdin; other pipes are refused, since one without a writer would be
            waited for for ever.
        null: Whether paths end with NUL, as `find -print0` writes them, and may hold the ends of lines.

    Raises:
        InvalidInputError: It cannot be read, is larger than 4 GiB, holds no path, or is no list.
        StoreUnavailableError: It lies in a store that cannot be had.
    """
    what = "stdin" if name == STDIN else public_url(name) if is_url(name) else name
    num_paths = 0
    try:
        with _opened(name) as file:
            for path in _paths(file, what, null):
                if path:
                    num_paths += 1
                    yield path
    except StoreUnavailableError:
        raise
    except StoreError as exc:
        raise InvalidInputError(f"the list {what} cannot be read: {exc}") from exc
    except (OSError, ValueError) as exc:
        is_there = name != STDIN and not isinstance(exc, FileNotFoundError)
        hint = "" if not is_there else "; pipe a list from a program, and give - in its place"
        raise InvalidInputError(f"the list {what} cannot be read: {getattr(exc, 'strerror', exc)}{hint}") from exc
    if not num_paths:
        raise InvalidInputError(f"the list {what} is empty; expected a path in each line")


def path_list(paths: Iterable[Path]) -> bytes:
    """Return a list of paths, a line each, as `read_path_list` reads it.

    Raises:
        InvalidInputError: A path holds the end of a line.
    """
    lines = [os.fsencode(path) for path in paths]
    for line in lines:
        if b"\n" in line or line.endswith(b"\r"):
            raise InvalidInputError(
                f"the name {os.fsdecode(line)!r} holds the end of a line, and a list has a path in each; rename it"
            )
    return b"".join(line + b"\n" for line in lines)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if is_url(name) and (path := local_path(name)) is None:
        from fsengine.files.stores.objects import object_state
        from fsengine.files.stores.range_file import RangeFile

        url = checked_url(name)
        with io.BufferedReader(RangeFile(url, object_state(url)), 8 * _CHUNK_BYTES) as file:
            yield file
    elif name != STDIN:
        with open_regular(path if is_url(name) and path is not None else name) as file:
            yield file
    elif sys.stdin is None:
        raise OSError(0, "it is closed")
    else:
        yield sys.stdin.buffer


def _paths(file: BinaryIO, what: str, null: bool) -> Iterator[bytes]:
    """Yield lines, and refuse what is no list as soon as that shows: it may have no end."""
    end = b"\0" if null else b"\n"
    number = num_bytes = 0
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        if not num_bytes:
            if chunk.startswith(_UTF_16_MARKS):
                raise InvalidInputError(f"the list {what} is written in UTF-16; save it as UTF-8")
            chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
        num_bytes += len(chunk)
        if num_bytes > MOST_BYTES:
            raise InvalidInputError(
                f"the list {what} is larger than {MOST_BYTES:,} bytes; split it, and run for each part"
            )
        if not null and b"\0" in chunk:
            raise InvalidInputError(f"the list {what} holds NUL bytes; is it no list, or was --null meant?")
        if len(chunk) == _CHUNK_BYTES and not chunk.strip(end):
            raise InvalidInputError(f"the list {what} has {_CHUNK_BYTES:,} empty paths in a row; it is no list")
        *lines, rest = (rest + chunk).split(end)
        for line in lines:
            number += 1
            yield _path(line, what, number, null)
        _path(rest, what, number + 1, null)
    yield _path(rest, what, number + 1, null)


def _path(line: bytes, what: str, number: int, null: bool) -> bytes:
    if len(line) > _LONGEST_PATH + 1:
        raise InvalidInputError(
            f"the list {what} has more than {_LONGEST_PATH} bytes in line {number}, which is no path; "
            f"expected a path in each line{' that ends with NUL' if null else ''}"
        )
    return line if null else line.removesuffix(b"\r")
