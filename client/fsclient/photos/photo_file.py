"""Read one photo from disk and judge it by its header, before any server sees it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass

from fsclient.photos.file_state import file_state
from fsdata.results.rows import PhotoFile
from fsdata.results.source import source_text
from fsdata.results.status import Status
from fsengine.photo.header import READ_FORMATS, sniff_format, too_many_pixels

MAX_FILE_BYTES = 1 << 30
"""Half of what one gRPC message holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A file as it was read.

    Attributes:
        file: What identifies it.
        data: Its bytes; None where it is refused.
        refusal: Why it is not sent to a server: a status and a reason.
    """

    file: PhotoFile
    data: bytes | None
    refusal: tuple[Status, str] | None


def resume_key(path: bytes) -> tuple[str, int, int]:
    """Return (source, bytes, mtime_ns), which tell whether a photo was already done; -1 where it is gone."""
    try:
        info = os.stat(path)
    except OSError:
        return source_text(path), -1, -1
    return source_text(path), *file_state(info)


def read_photo(path: bytes) -> Photo:
    """Read a file whole and check its header. Never raises for what a file may be."""
    source = source_text(path)

    def refused(status: Status, reason: str, size: int = -1, mtime_ns: int = -1) -> Photo:
        file = PhotoFile(source=source, num_bytes=size, mtime_ns=mtime_ns, content_hash=None)
        return Photo(file=file, data=None, refusal=(status, reason))

    try:
        info = os.stat(path)
    except OSError as exc:
        return refused(Status.FAILED, f"cannot be read: {exc.strerror}")
    size, mtime_ns = file_state(info)
    if not stat.S_ISREG(info.st_mode):
        return refused(Status.UNSUPPORTED, "not a regular file", size, mtime_ns)
    if size > MAX_FILE_BYTES:
        return refused(Status.TOO_LARGE, f"{size} bytes, at most {MAX_FILE_BYTES} are read", size, mtime_ns)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as exc:
        return refused(Status.FAILED, f"cannot be read: {exc.strerror}", size, mtime_ns)
    refusal = judge_header(data)
    content_hash = hashlib.sha256(data).hexdigest()
    return Photo(
        file=PhotoFile(source=source, num_bytes=size, mtime_ns=mtime_ns, content_hash=content_hash),
        data=data if refusal is None else None,
        refusal=refusal,
    )


def judge_header(data: bytes) -> tuple[Status, str] | None:
    """Return why a photo should not be sent to a server, or None where it may be.

    A header that cannot be parsed is left to the server, which alone says `corrupt`.
    """
    if not data:
        return Status.UNSUPPORTED, "the file is empty"
    found = sniff_format(data)
    if found not in READ_FORMATS:
        what = f"{found} is not read" if found else "not a known photo format"
        return Status.UNSUPPORTED, f"{what}; expected {', '.join(sorted(READ_FORMATS))}"
    if reason := too_many_pixels(data):
        return Status.TOO_LARGE, reason
    return None
