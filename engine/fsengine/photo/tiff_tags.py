"""The tags of a TIFF file's first directory, which Exif is too."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

ORIENTATION_TAG = 274
_SHORT, _LONG = 3, 4
_ENTRY_BYTES = 12


class Tag(NamedTuple):
    """One entry of a directory.

    Attributes:
        number: Its tag.
        kind: Type of its values: 3 is a SHORT, 4 a LONG.
        length: How many values it has.
        value: The values where they have 4 bytes or fewer, else where they lie, as stored.
        offset: Where the entry lies in the data.
    """

    number: int
    kind: int
    length: int
    value: bytes
    offset: int


def byte_order(data: bytes) -> str | None:
    """Return `<` or `>` for data that begins as TIFF does, else None."""
    return {b"II*\x00": "<", b"MM\x00*": ">"}.get(data[:4])


def first_directory(data: bytes) -> Iterator[Tag]:
    """Yield the entries of the first directory of a TIFF file or of an Exif block, none where it is broken."""
    order = byte_order(data)
    if order is None or len(data) < 10:
        return
    (start,) = struct.unpack_from(order + "I", data, 4)
    if start < 8 or start + 2 > len(data):
        return
    (count,) = struct.unpack_from(order + "H", data, start)
    entries = data[start + 2 : start + 2 + _ENTRY_BYTES * count]
    whole = len(entries) - len(entries) % _ENTRY_BYTES
    for index, (number, kind, values, value) in enumerate(struct.iter_unpack(order + "HHI4s", entries[:whole])):
        yield Tag(number, kind, values, value, start + 2 + _ENTRY_BYTES * index)


def tag_number(tag: Tag, order: str) -> int | None:
    """Return the one SHORT or LONG of an entry, or None where it holds something else."""
    if tag.length != 1 or tag.kind not in (_SHORT, _LONG):
        return None
    return int(struct.unpack_from(order + ("H" if tag.kind == _SHORT else "I"), tag.value)[0])


def orientation_of(data: bytes) -> int:
    """Return the orientation that a TIFF file or an Exif block states, 1 to 8.

    It is that of the first tag 274 of the first directory, if that is one SHORT from 1 to 8; all else is 1.
    """
    order = byte_order(data)
    for tag in first_directory(data):
        if tag.number == ORIENTATION_TAG:
            assert order is not None
            number = tag_number(tag, order) if tag.kind == _SHORT else None
            return number if number is not None and 1 <= number <= 8 else 1
    return 1


def without_orientation(data: bytes) -> bytes:
    """Return a TIFF file whose first directory says nothing of its orientation."""
    order = byte_order(data)
    changed = bytearray(data)
    for tag in first_directory(data):
        if tag.number == ORIENTATION_TAG:
            assert order is not None
            struct.pack_into(order + "H", changed, tag.offset, _PRIVATE_TAG)
    return bytes(changed)


_PRIVATE_TAG = 65_000
"""A number that readers pass over."""
