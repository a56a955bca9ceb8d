"""What a photo's file holds, as far as duplicates and checks need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fsdata.labels.photo_paths import is_file
from fsengine.files.hashing import file_sha256
from fsengine.photo.convert import make_ready
from fsengine.photo.gate import READ_FORMATS, Refusal, judge
from fsengine.photo.headers import BROKEN

_READERS = 8
"""Files read at once; most of the time is spent on waiting for a disk."""


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
    data = path.read_bytes()
    gate = judge(data)
    if gate.refusal is not None and data and gate.format not in READ_FORMATS:
        return f"{gate.format or 'no photo'}, expected one of {', '.join(READ_FORMATS)}"
    # What a header does not say, the converter does: it decodes the few photos whose header is broken.
    if gate.convert == BROKEN and isinstance(ready := make_ready(data, gate), Refusal):
        return f"{BROKEN}: {ready.reason}"
    return None if gate.refusal is None else gate.refusal.reason
