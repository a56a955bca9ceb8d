"""What a photo's file holds, as far as duplicates and checks need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fsdata.labels.photo_paths import is_file
from fsengine.files.hashing import file_sha256
from fsengine.photo.header import READ_FORMATS, open_photo, sniff_format, too_many_pixels

_READERS = 8
"""Files read at once; most of the time is spent on waiting for a disk."""

_HEADER_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoContent:
    """A photo's file.

    Attributes:
        sha256: Hash of its bytes in hex; None where it is missing or cannot be read.
        missing: There is no file.
        fault: Why it cannot be used as a photo, by its first bytes and its header; None where it can.
    """

    sha256: str | None
    missing: bool = False
    fault: str | None = None


def read_contents(paths: Sequence[Path], on_photo: Callable[[], object] | None = None) -> list[PhotoContent]:
    """Hash photos and check their headers.

    Args:
        paths: The files; one that is named twice is read once.
        on_photo: Called after each different file.

    Returns:
        The content of each path, in their order.
    """
    contents: dict[Path, PhotoContent] = {}
    different = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(_READERS) as pool:
        for path, content in zip(different, pool.map(read_content, different), strict=True):
            contents[path] = content
            if on_photo is not None:
                on_photo()
    return [contents[path] for path in paths]


def read_content(path: Path) -> PhotoContent:
    """Hash a photo and check its header; a file that cannot be read is told in the result."""
    if not is_file(path):
        return PhotoContent(sha256=None, missing=True)
    try:
        return PhotoContent(sha256=file_sha256(path), fault=_fault(path))
    except OSError as exc:
        return PhotoContent(sha256=None, fault=exc.strerror or str(exc))


def _fault(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if not head:
        return "the file is empty"
    kind = sniff_format(head)
    if kind not in READ_FORMATS:
        return f"{kind or 'no photo'}, expected one of {', '.join(sorted(READ_FORMATS))}"
    try:
        with open_photo(path):
            pass
    except Image.DecompressionBombError:
        return too_many_pixels(path.read_bytes())
    except Exception as exc:  # Pillow's parsers raise nearly anything on a broken header
        return f"broken header: {type(exc).__name__}"
    return None
