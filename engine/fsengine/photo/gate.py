"""The one gate before every decoder: what a photo's header says, read without decoding and without Pillow.

A plain photo goes to the decoder as it is. All others are converted first (`fsengine.photo.convert`) or refused, so
that the decoder sees few kinds of files, and what is scored is what a viewer shows. It takes about 10 us.

The rule of orientation, for client, server, drawing and training alike: of a JPEG the first APP1 `Exif` before the
scan, of a PNG the first eXIf with a right checksum, of a WebP the first EXIF, of a TIFF the file; there the first tag
274 of the first directory, one SHORT from 1 to 8. All else is 1: XMP, thumbnails' tags and Exif behind a JPEG's scan.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import NamedTuple

from fsengine.contracts.preprocessing import MAX_PHOTO_FILE_BYTES, MAX_PHOTO_PIXELS
from fsengine.photo.headers import (
    BROKEN,
    Header,
    read_bmp,
    read_boxes,
    read_jpeg,
    read_jpeg_2000,
    read_png,
    read_pnm,
    read_tiff,
    read_webp,
)
from fsengine.photo.signatures import sniff_format

_READERS: Mapping[str, Callable[[bytes], Header]] = {
    "AVIF": read_boxes,
    "BMP": read_bmp,
    "HEIC": read_boxes,
    "JPEG": read_jpeg,
    "JPEG 2000": read_jpeg_2000,
    "PNG": read_png,
    "PNM": read_pnm,
    "TIFF": read_tiff,
    "WebP": read_webp,
}

READ_FORMATS = tuple(_READERS)
"""Formats that are read; HEIC with the extra `heic` alone."""

_BOX_FORMATS = frozenset({"AVIF", "HEIC"})

_WAYS_OUT = {"HEIC": "pip install 'facestats[heic]', or save it as JPEG", "JPEG XL": "save it as JPEG or PNG"}


class Refused(str, Enum):
    """Why a photo is not scored, in the words of the results.

    UNSUPPORTED: It is no photo, or of a kind that is not read.
    TOO_LARGE: It has too many pixels.
    CORRUPT: It cannot be decoded, and that is the file's fault.
    FAILED: It could not be decoded here and now: memory, time, a reader that broke.
    """

    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    CORRUPT = "corrupt"
    FAILED = "failed"


class Refusal(NamedTuple):
    """Why a photo is not scored.

    Attributes:
        status: In one word.
        reason: In a sentence.
    """

    status: Refused
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the gate says of a photo.

    Attributes:
        format: Its name, for example `JPEG`; None where it is no known one.
        width: Of the stored pixels; 0 where the header does not say.
        height: The same.
        orientation: How they lie, 1 to 8 in Exif's numbers.
        convert: Why it must be converted before it is decoded, for example `ICC profile`; None for a plain photo.
        refusal: Why it is not decoded at all; None where it may be.
    """

    format: str | None
    width: int = 0
    height: int = 0
    orientation: int = 1
    convert: str | None = None
    refusal: Refusal | None = None

    @property
    def is_plain(self) -> bool:
        """Return whether the decoder may have the photo as it is."""
        return self.convert is None and self.refusal is None


def judge(data: bytes) -> Gate:
    """Judge a photo by its header. Never raises, whatever the bytes are.

    Args:
        data: The whole file.
    """
    if reason := too_many_bytes(len(data)):
        return Gate(format=None, refusal=Refusal(Refused.TOO_LARGE, reason))
    kind = sniff_format(data)
    reader = _READERS.get(kind or "")
    if kind is None or reader is None or (kind == "HEIC" and not _reads_heic()):
        return Gate(format=kind, refusal=Refusal(Refused.UNSUPPORTED, _not_read(kind, data)))
    try:
        header = reader(data)
    except (IndexError, struct.error):
        header = Header(convert=BROKEN)
    if kind in _BOX_FORMATS:
        header.not_plain(kind)
    refusal = None
    if header.refuse is not None:
        refusal = Refusal(Refused.UNSUPPORTED, header.refuse)
    elif reason := too_many_pixels(header.width, header.height):
        refusal = Refusal(Refused.TOO_LARGE, reason)
    elif header.convert is None and not (header.width and header.height):
        header.not_plain(BROKEN)
    return Gate(
        format=kind,
        width=header.width,
        height=header.height,
        orientation=header.orientation,
        convert=header.convert,
        refusal=refusal,
    )


def too_many_bytes(num_bytes: int) -> str | None:
    """Return why a file of this size is not read, or None where it is."""
    return f"{num_bytes} bytes, at most {MAX_PHOTO_FILE_BYTES} are read" if num_bytes > MAX_PHOTO_FILE_BYTES else None


def too_many_pixels(width: int, height: int) -> str | None:
    """Return why a photo of this size is not decoded, or None where it is."""
    if width * height <= MAX_PHOTO_PIXELS:
        return None
    return f"{width} x {height} pixels, at most {MAX_PHOTO_PIXELS} are decoded"


def _not_read(kind: str | None, data: bytes) -> str:
    if not data:
        return "the file is empty"
    if kind is not None and (way_out := _way_out(kind)):
        return f"{kind} is not read; {way_out}"
    what = f"{kind} is not read" if kind else "not a known photo format"
    return f"{what}; expected {', '.join(READ_FORMATS)}"


def _way_out(kind: str) -> str | None:
    return "develop it to JPEG" if kind.startswith("camera raw") else _WAYS_OUT.get(kind)


@cache
def _reads_heic() -> bool:
    return importlib.util.find_spec("pillow_heif") is not None
