"""The process in which Pillow decodes the photos that are not plain; see `fsengine.photo.convert`.

It reads requests on stdin until that ends, and answers each on stdout. A request is `REQUEST` (bytes of the photo, its
orientation, index of its format in `FORMATS`) and the photo; an answer is `ANSWER` (index of a status in `STATUSES`,
bytes of a text, bytes of a bitmap), the text and the bitmap.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import resource
import signal
import struct
import sys
import warnings
from typing import BinaryIO

from PIL import Image, ImageChops, ImageCms

from fsengine.contracts.preprocessing import MAX_PHOTO_PIXELS
from fsengine.photo.tiff_tags import ORIENTATION_TAG, without_orientation

REQUEST = struct.Struct("<QBB")
ANSWER = struct.Struct("<BQQ")
STATUSES = ("converted", "corrupt", "unsupported", "too_large", "failed")
FORMATS = ("AVIF", "BMP", "HEIC", "JPEG", "JPEG 2000", "PNG", "PNM", "TIFF", "WebP")
"""In the words of `fsengine.photo.gate`."""

_READER_OF = {"HEIC": "HEIF", "JPEG 2000": "JPEG2000", "PNM": "PPM", "WebP": "WEBP"}
"""Pillow's name of a format, where it differs."""

_STRIP_ROWS = 256
_RELATIVE_COLORIMETRIC = 1
_NO_MEMORY = re.compile(r"memory|allocat", re.IGNORECASE)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class NotReadError(Exception):
    """A photo that Pillow would open and that is not read here: status and reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def main(memory_bytes: int) -> None:
    """Answer requests until there are no more.

    Args:
        memory_bytes: Of address space that this process may have.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    _set_up_pillow()
    while header := sys.stdin.buffer.read(REQUEST.size):
        size, orientation, kind = REQUEST.unpack(header)
        data = sys.stdin.buffer.read(size)
        _answer(data, orientation, FORMATS[kind], answers)
        del data
        answers.flush()


def _set_up_pillow() -> None:
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # `converted` has the project's own limit
    if importlib.util.find_spec("pillow_heif") is not None:
        importlib.import_module("pillow_heif").register_heif_opener()


def _answer(data: bytes, orientation: int, kind: str, answers: BinaryIO) -> None:
    try:
        image, note = converted(data, orientation, kind)
    except MemoryError:
        _refuse("failed", "no memory to convert it", answers)
    except NotReadError as exc:
        _refuse(exc.status, str(exc), answers)
    except Exception as exc:  # noqa: BLE001 - Pillow's parsers raise nearly anything on broken data
        words = str(exc).replace("<_io.BytesIO object at ", "<").split(" <0x")[0] or type(exc).__name__
        _refuse("failed" if _NO_MEMORY.search(words) else "corrupt", words, answers)
    else:
        write_bitmap(image, note, answers)


def _refuse(status: str, reason: str, answers: BinaryIO) -> None:
    text = reason.encode(errors="replace")
    answers.write(ANSWER.pack(STATUSES.index(status), len(text), 0) + text)


def converted(data: bytes, orientation: int, kind: str) -> tuple[Image.Image, str]:
    """Decode a photo as a viewer shows it.

    Args:
        data: The file.
        orientation: How its pixels lie, 1 to 8, any other counts as 1; not heeded where boxes of the file say it.
        kind: Its format.

    Returns:
        RGB, 8 bits a channel, upright, in sRGB and on white; and what had to be passed over, empty where nothing.

    Raises:
        NotReadError: It is too large, or its numbers have no range.
        Exception: Pillow cannot decode it.
    """
    if kind == "TIFF":
        data = without_orientation(data)  # Pillow would turn it while it loads
    elif kind == "PNG":
        data = without_side_chunks(data)
    with Image.open(io.BytesIO(data), formats=[_READER_OF.get(kind, kind)]) as opened:  # noqa: TID251 - it is here
        if opened.width * opened.height > MAX_PHOTO_PIXELS:
            size = f"{opened.width} x {opened.height} pixels"
            raise NotReadError("too_large", f"{size}, at most {MAX_PHOTO_PIXELS} are decoded")
        opened.load()
        if kind in ("AVIF", "HEIC"):
            orientation = int(opened.getexif().get(ORIENTATION_TAG, 1))
        image, note = _colours(opened, kind)
    return (image.transpose(_TURNS[orientation]) if orientation in _TURNS else image), note


_PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND"})


def without_side_chunks(data: bytes) -> bytes:
    """Return a PNG with nothing but what makes its pixels: Pillow refuses good ones for a broken text or Exif."""
    kept = [data[:8]]
    position = 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] in _PNG_CHUNKS:
            kept.append(data[position:end])
        position = end
    return b"".join([*kept, data[position:]])


def _colours(image: Image.Image, kind: str) -> tuple[Image.Image, str]:
    """Return an image as RGB in sRGB on white, and what had to be passed over."""
    profile = image.info.get("icc_profile")
    if image.mode == "F" or (image.mode == "I" and kind == "TIFF"):
        raise NotReadError(
            "unsupported", f"{kind} of 32 bits a channel is not read; save it with 8 or 16 bits a channel"
        )
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if not image.has_transparency_data:
        return _in_srgb(image, profile)
    whole = image.convert("RGBA")
    below = ImageChops.invert(whole.getchannel("A"))
    colours, note = _in_srgb(whole.convert("RGB"), profile)
    colours.paste((255, 255, 255), mask=below)
    return colours, note


def _in_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    """Return an opaque image in sRGB, by its profile where it has a sound one."""
    note = ""
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return _transformed(image, ImageCms.ImageCmsProfile(lab)), note
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile:
        try:
            return _transformed(image, ImageCms.ImageCmsProfile(io.BytesIO(profile))), note
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            note = "broken, taken for sRGB"
    return image.convert("RGB"), note


def _transformed(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    made = ImageCms.profileToProfile(
        image, source, srgb, renderingIntent=ImageCms.Intent(_RELATIVE_COLORIMETRIC), outputMode="RGB"
    )
    assert made is not None
    return made


def write_bitmap(image: Image.Image, note: str, answers: BinaryIO) -> None:
    """Answer with a bitmap of 24 bits behind a header of 54 bytes, in strips: it never lies in memory whole."""
    width, height = image.size
    stride = (3 * width + 3) // 4 * 4
    pixels = stride * height
    text = note.encode()
    answers.write(ANSWER.pack(0, len(text), 54 + pixels) + text)
    answers.write(struct.pack("<2sIHHI", b"BM", 54 + pixels, 0, 0, 54))
    answers.write(struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, pixels, 3780, 3780, 0, 0))
    for bottom in range(height, 0, -_STRIP_ROWS):
        strip = image.crop((0, max(0, bottom - _STRIP_ROWS), width, bottom))
        answers.write(strip.tobytes("raw", "BGR", stride, -1))
