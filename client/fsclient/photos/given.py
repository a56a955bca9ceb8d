"""A photo as a caller gives it: a path, encoded bytes, an open file, pixels or a PIL image."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, Union, cast

import numpy as np
from numpy.typing import NDArray

from fsclient.photos.entry import FileEntry, ObjectEntry, PhotoEntry
from fsclient.photos.photo_file import Photo, judged, read_photo
from fsdata.results.rows import PhotoFile
from fsdata.results.source import source_text
from fsengine.contracts.preprocessing import MAX_PHOTO_PIXELS
from fsengine.errors import InvalidInputError
from fsengine.files.stores.store_urls import checked_url, is_url, local_path

if TYPE_CHECKING:
    from PIL import Image

GivenPhoto: TypeAlias = Union[
    str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, NDArray[np.uint8], "Image.Image"
]
"""A path (str or PathLike), a URL, an encoded photo (bytes), a file opened for reading bytes, pixels (uint8 (H, W, 3),
RGB, upright), or a PIL image, whose EXIF orientation is applied and whose transparent parts lie on white."""

_EIGHT_BIT_MODES = frozenset({"1", "L", "P", "RGB", "RGBA", "LA", "PA", "RGBa", "La", "CMYK", "YCbCr", "HSV", "LAB"})


def checked_photos(photos: Iterable[GivenPhoto]) -> Iterable[GivenPhoto]:
    """Return photos that are given as an iterable.

    Raises:
        InvalidInputError: It is one photo, or nothing that can be iterated over.
    """
    if isinstance(photos, (str, bytes, bytearray, memoryview, os.PathLike)) or not isinstance(photos, Iterable):
        raise InvalidInputError(
            f"photos are given as {type(photos).__name__}; expected an iterable of photos (for one photo: score)"
        )
    return photos


async def as_stream(photos: Iterable[GivenPhoto] | AsyncIterable[GivenPhoto]) -> AsyncIterator[GivenPhoto]:
    """Yield photos that are given in either way."""
    if isinstance(photos, AsyncIterable):
        async for photo in photos:
            yield photo
        return
    for photo in photos:
        yield photo


def taken(photo: GivenPhoto) -> Callable[[], Photo]:
    """Return what reads a photo later: a path then, all else now, since the caller may close or change it meanwhile.

    Raises:
        InvalidInputError: See `read_given`.
    """
    if isinstance(photo, (str, bytes, os.PathLike)):
        return lambda: read_given(photo)
    read = read_given(photo)
    return lambda: read


def read_given(photo: GivenPhoto) -> Photo:
    """Read a photo and judge it by its header. Never raises for what a file or its bytes may be.

    Raises:
        InvalidInputError: It is nothing that a photo can be given as, or pixels of another shape or type.
        StoreUnavailableError: It is a URL of a store that cannot be had.
    """
    if isinstance(photo, str) and is_url(photo):
        path = local_path(photo)
        return ObjectEntry(checked_url(photo)).read() if path is None else read_photo(path)
    if isinstance(photo, (str, os.PathLike)):
        return read_photo(_path(photo))
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return _encoded(bytes(photo), "")
    if isinstance(photo, np.ndarray):
        return _encoded(_encode_pixels(photo), "")
    if hasattr(photo, "getexif"):
        return _encoded(_encode_image(cast("Image.Image", photo)), "")
    if isinstance(photo, io.TextIOBase):
        raise InvalidInputError("the file gives text, expected bytes: open it with mode 'rb'")
    if hasattr(photo, "read") and not isinstance(photo, type):
        try:
            data = photo.read()
        except (OSError, ValueError) as exc:  # ValueError: it is closed
            raise InvalidInputError(f"the file cannot be read: {exc}; give one that is open for reading bytes") from exc
        if not isinstance(data, bytes):
            raise InvalidInputError(f"the file gives {type(data).__name__}, expected bytes: open it with mode 'rb'")
        name = getattr(photo, "name", "")
        return _encoded(data, source_text(os.fsencode(os.path.abspath(name))) if isinstance(name, str) and name else "")
    raise InvalidInputError(
        f"a photo was given as {type(photo).__name__}; expected a path, bytes, a file opened for reading bytes, a "
        "NumPy array (H, W, 3) of uint8 or a PIL image"
    )


def given_as(entry: PhotoEntry) -> str:
    """Return a photo that a search found as `read_given` takes it: its path, or its URL.

    Raises:
        InvalidInputError: It lies in a shard or a table.
    """
    if isinstance(entry, FileEntry):
        return os.fsdecode(entry.path)
    if isinstance(entry, ObjectEntry):
        return entry.url
    raise InvalidInputError(f"{entry.source} lies in a shard or a table; `fsclient ingest` reads those")


def _path(photo: str | os.PathLike[str]) -> bytes:
    """Return the absolute path of a file.

    Raises:
        InvalidInputError: It cannot be a path: it holds a zero byte, or what no file name can.
    """
    try:
        path = os.fsencode(os.path.abspath(photo))
    except ValueError as exc:
        raise InvalidInputError(f"{photo!r} cannot be a path: {exc}") from exc
    if b"\0" in path:
        raise InvalidInputError(f"{photo!r} cannot be a path: it holds a zero byte")
    return path


def _encoded(data: bytes, source: str) -> Photo:
    """Return encoded bytes as a photo that was read."""
    file = PhotoFile(source=source, num_bytes=len(data), mtime_ns=-1, content_hash=hashlib.sha256(data).hexdigest())
    return judged(data, file)


def _encode_pixels(pixels: NDArray[np.uint8]) -> bytes:
    """Return uint8 (H, W, 3) RGB as an uncompressed photo."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InvalidInputError(
            f"the array is {pixels.dtype} {tuple(pixels.shape)}; expected uint8 (H, W, 3), RGB, of an upright photo"
        )
    from PIL import Image

    return _bitmap(Image.fromarray(pixels, "RGB"))


def _encode_image(image: Image.Image) -> bytes:
    """Return a PIL image, upright and on white, as an uncompressed photo."""
    from PIL import Image, ImageOps

    if image.mode not in _EIGHT_BIT_MODES:
        raise InvalidInputError(
            f"the image has mode {image.mode}, expected 8 bits a channel; scale it to 0..255 and convert it to RGB"
        )
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
        return _bitmap(upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as exc:  # of a file that is cut or broken, read only now
        raise InvalidInputError(f"the image cannot be decoded: {exc}; give the file's bytes instead") from exc


def _bitmap(image: Image.Image) -> bytes:
    """Return an RGB image as BMP: no pixel changes, and writing it takes hardly any time."""
    width, height = image.size
    if width * height > MAX_PHOTO_PIXELS:
        raise InvalidInputError(f"{width} x {height} pixels, at most {MAX_PHOTO_PIXELS} are decoded; make it smaller")
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    return buffer.getvalue()
