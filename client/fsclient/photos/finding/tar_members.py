"""The members of a tar file, read by their headers alone, one after the other.

The `tarfile` of Python is for files that one trusts: it reads a name of 4 GB into memory, calls itself for each header
that goes before a member, needs quadratic time and memory for some records, never ends at a member of negative size,
and takes a damaged header for the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fsengine.errors import StoreError

_BLOCK_BYTES = 512
_NO_BYTES = bytes(_BLOCK_BYTES)
_LONGEST_RECORD = 1 << 20
"""Of the names and records that go before a member, in bytes, together."""

_MOST_HEADERS = 64
"""That go before a member, or belong to a sparse one."""

_LARGEST_MEMBER = 1 << 50
_PADDING_BYTES = 1 << 20
"""Of zeros after the end mark, in which another tar file is looked for: files that were joined are such."""

_REGULAR = b"0\x007"
_WITHOUT_DATA = b"123456"
_LONG_NAME, _LONG_LINK, _SPARSE, _GLOBAL, _EXTENDED = b"L", b"K", b"S", b"g", b"xX"
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_LENGTH = re.compile(rb"(\d{1,9}) ")
_CUT = "it ends in the middle of a {}; it was cut off"


@dataclass(frozen=True, slots=True)
class TarMember:
    """A member.

    Attributes:
        name: As it is stored, without its end.
        is_folder: Whether it is a folder.
        is_file: Whether it is a regular file whose bytes lie together.
        start: Place of its first byte.
        num_bytes: Its size; more bytes than there are may be said.
    """

    name: bytes
    is_folder: bool
    is_file: bool
    start: int
    num_bytes: int


def tar_members(file: BinaryIO) -> Iterator[TarMember]:
    """Yield the members of a tar file: ustar, GNU or pax; several in one file count as one.

    Args:
        file: Read and sought forward only; between two members it may be read from.

    Raises:
        StoreError: It is no tar file, damaged, or cut off; what came before counts.
    """
    at = num_zeros = 0
    has_any = False
    while True:
        block = file.read(_BLOCK_BYTES)
        if len(block) < _BLOCK_BYTES:
            if num_zeros:
                return
            if not at and not block:
                raise StoreError("it is empty")
            if not at or block:
                raise StoreError(_CUT.format("header") if has_any else "it is no tar file")
            raise StoreError("it ends without an end mark; it may be cut off")
        if block == _NO_BYTES:
            at += _BLOCK_BYTES
            num_zeros += _BLOCK_BYTES
            if num_zeros >= _PADDING_BYTES:
                return
            continue
        if not _is_header(block):
            if num_zeros:
                raise StoreError("something else than zeros follows its end mark")
            raise StoreError(f"its header at byte {at:,} is damaged" if has_any else "it is no tar file")
        num_zeros = 0
        member, at = _member(file, block, at + _BLOCK_BYTES)
        has_any = True
        yield member
        if file.tell() < at:
            file.seek(at - 1)
            if not file.read(1):  # a file may be sought beyond its end
                raise StoreError(_CUT.format("member"))


def _member(file: BinaryIO, block: bytes, at: int) -> tuple[TarMember, int]:
    """Return the member that a header begins, with those before its own, and where the next one begins."""
    name: bytes | None = None
    size: int | None = None
    is_sparse = False
    num_read = 0
    for _ in range(_MOST_HEADERS):
        kind = block[156:157]
        if kind not in (_LONG_NAME, _LONG_LINK, _GLOBAL) and kind not in _EXTENDED:
            break
        length = _number(block[124:136])
        num_read += length
        if num_read > _LONGEST_RECORD:
            raise StoreError(
                f"it announces a name or a record of {length:,} bytes, at most {_LONGEST_RECORD:,} are read"
            )
        record = _read(file, _whole_blocks(length))[:length]
        at += _whole_blocks(length)
        if kind == _LONG_NAME:
            name = _text(record)
        elif kind in _EXTENDED:
            records = _records(record)
            name = records.get(b"GNU.sparse.name", records.get(b"path", name))
            size = _size(records[b"size"]) if b"size" in records else size
            is_sparse = is_sparse or any(key.startswith(b"GNU.sparse.") for key in records)
        block = _read(file, _BLOCK_BYTES)
        at += _BLOCK_BYTES
        if not _is_header(block):
            raise StoreError(f"its header at byte {at - _BLOCK_BYTES:,} is damaged")
    else:
        raise StoreError(f"more than {_MOST_HEADERS} headers go before one member")
    if size is None:
        size = _number(block[124:136])
    if kind == _SPARSE:
        at += _sparse_bytes(file, block)
    if name is None:
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
            name = prefix + b"/" + name
    is_regular = kind in _REGULAR
    is_folder = kind == b"5" or (is_regular and name.endswith(b"/"))
    member = TarMember(
        name=name.rstrip(b"/") if is_folder else name,
        is_folder=is_folder,
        is_file=is_regular and not is_folder and not is_sparse,
        start=at,
        num_bytes=size,
    )
    return member, at if kind in _WITHOUT_DATA else at + _whole_blocks(size)


def _sparse_bytes(file: BinaryIO, block: bytes) -> int:
    """Return the bytes of the headers that go on with a sparse member's."""
    num_bytes = 0
    goes_on = block[482]
    while goes_on:
        if num_bytes >= _MOST_HEADERS * _BLOCK_BYTES:
            raise StoreError(f"more than {_MOST_HEADERS} headers belong to one member")
        goes_on = _read(file, _BLOCK_BYTES)[504]
        num_bytes += _BLOCK_BYTES
    return num_bytes


def _read(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise StoreError(_CUT.format("header"))
    return data


def _whole_blocks(length: int) -> int:
    return -(-length // _BLOCK_BYTES) * _BLOCK_BYTES


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _number(field: bytes) -> int:
    """Return the number of a field: octal, or of base 256 where its first bit is set."""
    if field[0] == 0x80:
        number = int.from_bytes(field[1:], "big")
    elif (octal := _OCTAL.fullmatch(field)) is not None:
        number = int(octal[1] or b"0", 8)
    else:
        raise StoreError("a header of it holds no number where one has to be")
    return _checked(number)


def _size(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise StoreError("a record of it says a size that is no number")
    return _checked(int(text))


def _checked(number: int) -> int:
    if number > _LARGEST_MEMBER:
        raise StoreError(f"it announces a member of {number:,} bytes")
    return number


def _is_header(block: bytes) -> bool:
    """Return whether the sum that a header holds is that of its bytes, which some writers took as signed."""
    stored = _OCTAL.fullmatch(block[148:156])
    if stored is None or not stored[1]:
        return False
    rest = block[:148] + block[156:]
    difference = sum(rest) + 8 * ord(" ") - int(stored[1], 8)
    return not difference or difference == 256 * sum(byte > 127 for byte in rest)


def _records(data: bytes) -> dict[bytes, bytes]:
    """Return the records of a pax header, each `LENGTH KEY=VALUE` and the end of a line."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        length = _LENGTH.match(data, at)
        end = at + int(length[1]) if length is not None else at
        if length is None or end > len(data) or end <= length.end() or data[end - 1 : end] != b"\n":
            raise StoreError("a record before a member of it is damaged")
        key, _, value = data[length.end() : end - 1].partition(b"=")
        records[key] = value
        at = end
    return records
