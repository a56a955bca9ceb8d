"""What the first bytes of a photo say: its format and its size in pixels, without decoding it."""

from __future__ import annotations

import io
import threading
from pathlib import Path

from PIL import Image

from fsengine.contracts.preprocessing import MAX_PHOTO_PIXELS

_LIMIT_LOCK = threading.Lock()

READ_FORMATS = frozenset({"JPEG", "PNG", "WebP", "BMP", "TIFF", "JPEG 2000", "PNM"})
"""Formats that the decode step reads."""

_SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WebP", 8, b"WEBP"),
    ("BMP", 0, b"BM"),
    ("TIFF", 0, b"II*\x00"),
    ("TIFF", 0, b"MM\x00*"),
    ("JPEG 2000", 0, b"\x00\x00\x00\x0cjP  "),
    ("JPEG 2000", 0, b"\xff\x4f\xff\x51"),
    ("PNM", 0, b"P5"),
    ("PNM", 0, b"P6"),
    ("GIF", 0, b"GIF8"),
    ("ICO", 0, b"\x00\x00\x01\x00"),
    ("HEIC", 4, b"ftyphei"),
    ("HEIC", 4, b"ftypmif1"),
    ("AVIF", 4, b"ftypavif"),
    ("SVG", 0, b"<svg"),
    ("PDF", 0, b"%PDF"),
)
"""Name, offset and bytes of each known signature."""


def sniff_format(data: bytes) -> str | None:
    """Return the format that a file's first bytes announce, or None."""
    for name, offset, magic in _SIGNATURES:
        if data[offset : offset + len(magic)] == magic:
            return name
    return None


def open_photo(source: bytes | Path) -> Image.Image:
    """Open a photo with Pillow, which reads its header, under the project's limit in place of Pillow's lower one.

    Pillow has its limit in a global; it is off for the time of this call, and calls wait for each other.

    Args:
        source: The bytes of a file, or its path.

    Raises:
        DecompressionBombError: Of Pillow: the photo has more than twice `MAX_PHOTO_PIXELS`.
        OSError: Pillow does not know the format, the header is broken, or the file cannot be read. Its parsers raise
            other errors too on broken data.
    """
    with _LIMIT_LOCK:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            photo = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        finally:
            Image.MAX_IMAGE_PIXELS = before
    if photo.width * photo.height > 2 * MAX_PHOTO_PIXELS:
        photo.close()
        raise Image.DecompressionBombError(
            f"Image size ({photo.width * photo.height} pixels) exceeds limit of {2 * MAX_PHOTO_PIXELS} pixels"
        )
    return photo


def decoding_error(data: bytes) -> str | None:
    """Return what Pillow finds wrong with a photo that another decoder refused, or None where it decodes it.

    Raises:
        MemoryError: There is no room to find out.
    """
    try:
        with open_photo(data) as image:
            image.load()
    except MemoryError:
        raise
    except Exception as exc:  # Pillow's parsers raise nearly anything on broken data
        return str(exc).replace("<_io.BytesIO object at ", "<").split(" <0x")[0] or type(exc).__name__
    return None


def too_many_pixels(data: bytes) -> str | None:
    """Return why a photo has too many pixels to decode, or None where it has not, or its header is broken."""
    try:
        with open_photo(data) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        return f"more than {2 * MAX_PHOTO_PIXELS} pixels, at most {MAX_PHOTO_PIXELS} are decoded"
    except Exception:  # Pillow's parsers raise nearly anything on a broken header
        return None
    if width * height > MAX_PHOTO_PIXELS:
        return f"{width} x {height} pixels, at most {MAX_PHOTO_PIXELS} are decoded"
    return None
