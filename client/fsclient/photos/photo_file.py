"""Read one photo from disk, judge it by its header, and make it ready for a server, which sees no other."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace

from fsclient.photos.file_state import file_state
from fsdata.results.rows import PhotoFile
from fsdata.results.source import source_text
from fsdata.results.status import Status
from fsengine.files.stores.object_state import GONE, ObjectState
from fsengine.photo.convert import make_ready
from fsengine.photo.gate import Gate, Refusal, judge, too_many_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A file as it was read.

    Attributes:
        file: What identifies it.
        data: Its bytes; None where it is refused.
        refusal: Why it is not sent to a server: a status and a reason.
        gate: What its header says; None where it was not looked at.
        orientation: How the pixels of `data` lie, 1 to 8.
        converted: Why `data` is another form of it than the file; None where it is the file.
    """

    file: PhotoFile
    data: bytes | None
    refusal: tuple[Status, str] | None
    gate: Gate | None = None
    orientation: int = 1
    converted: str | None = None

    @property
    def num_pixels(self) -> int:
        """Return how many pixels it has by its header; 0 where that does not say."""
        return 0 if self.gate is None else self.gate.width * self.gate.height


def read_photo(path: bytes) -> Photo:
    """Read a file whole and judge it by its header. Never raises for what a file may be."""
    source = source_text(path)
    state = GONE
    try:
        info = os.stat(path)
        state = file_state(info)
        if not stat.S_ISREG(info.st_mode):
            return refused_photo(source, state, Status.UNSUPPORTED, "not a regular file")
        if (reason := too_many_bytes(state.num_bytes)) is not None:
            return refused_photo(source, state, Status.TOO_LARGE, reason)
        with open(path, "rb") as file:
            data = file.read()
    except OSError as exc:
        return refused_photo(source, state, Status.FAILED, f"cannot be read: {exc.strerror}")
    content_hash = hashlib.sha256(data).hexdigest()
    return judged(
        data, PhotoFile(source=source, num_bytes=state.num_bytes, mtime_ns=state.mtime_ns, content_hash=content_hash)
    )


def refused_photo(source: str, state: ObjectState, status: Status, reason: str) -> Photo:
    """Return a photo that is not read, or cannot be."""
    file = PhotoFile(
        source=source, num_bytes=state.num_bytes, mtime_ns=state.mtime_ns, etag=state.etag, content_hash=None
    )
    return Photo(file=file, data=None, refusal=(status, reason))


def judged(data: bytes, file: PhotoFile) -> Photo:
    """Return a photo that was read, judged by its header."""
    gate = judge(data)
    if gate.refusal is not None:
        return Photo(file=file, data=None, refusal=_in_results(gate.refusal), gate=gate)
    return Photo(file=file, data=data, refusal=None, gate=gate, orientation=gate.orientation)


def made_ready(photo: Photo) -> Photo:
    """Return a photo as a server gets it: converted where it is not plain, refused where that cannot be done."""
    if photo.data is None or photo.gate is None or photo.gate.is_plain:
        return photo
    ready = make_ready(photo.data, photo.gate)
    if isinstance(ready, Refusal):
        return replace(photo, data=None, refusal=_in_results(ready))
    return replace(photo, data=ready.data, orientation=ready.orientation, converted=ready.converted)


def _in_results(refusal: Refusal) -> tuple[Status, str]:
    return Status(refusal.status.value), refusal.reason
