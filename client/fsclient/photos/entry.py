"""A photo that a source names, before it is read: what it is called, how it lies, and how it is read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import Protocol

from fsclient.photos.file_state import file_state
from fsclient.photos.photo_file import Photo, judged, read_photo, refused_photo
from fsdata.results.rows import PhotoFile
from fsdata.results.source import INSIDE, local_file, source_text
from fsdata.results.status import Status
from fsengine.contracts.preprocessing import MAX_PHOTO_FILE_BYTES
from fsengine.errors import StoreError, StoreUnavailableError
from fsengine.files.regular_file import open_regular
from fsengine.files.stores.object_state import GONE, ObjectState
from fsengine.files.stores.objects import read_object, read_range, state_if_there
from fsengine.files.stores.store_urls import public_url
from fsengine.photo.gate import too_many_bytes

CUT_OFF = "cannot be read: its shard ends before it does"


class PhotoEntry(Protocol):
    """A photo that is yet to be read; it can be pickled, and sent to whoever reads it."""

    @property
    def source(self) -> str:
        """Return what its row is called."""
        ...

    @property
    def num_bytes(self) -> int:
        """Return its size; -1 where that is not known yet."""
        ...

    def state(self) -> ObjectState:
        """Return the state that it is in, `GONE` where it is not there.

        Raises:
            StoreUnavailableError: It lies in a store that cannot be had.
        """
        ...

    def read(self) -> Photo:
        """Read it whole and judge it by its header; whatever is wrong with it is an answer.

        Raises:
            StoreUnavailableError: It lies in a store that cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file.

    Attributes:
        path: Where it is.
    """

    path: bytes

    @property
    def source(self) -> str:
        """Return its path as text."""
        return source_text(self.path)

    @property
    def num_bytes(self) -> int:
        """Return -1."""
        return -1

    def state(self) -> ObjectState:
        """Return its state."""
        try:
            return file_state(os.stat(self.path))
        except OSError:
            return GONE

    def read(self) -> Photo:
        """Read it."""
        return read_photo(self.path)


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """An object of a store, or what a web address names.

    Attributes:
        url: Where it is.
        listed: Its state when it was listed; None where it was named.
    """

    url: str
    listed: ObjectState | None = None

    @property
    def source(self) -> str:
        """Return its URL, without what grants access."""
        return public_url(self.url)

    @property
    def num_bytes(self) -> int:
        """Return its size; -1 where it was not listed."""
        return -1 if self.listed is None else self.listed.num_bytes

    def state(self) -> ObjectState:
        """Return its state, which is asked for where it was not listed."""
        return self.listed or state_if_there(self.url) or GONE

    def read(self) -> Photo:
        """Read it; what counts is its state then, not that of the listing."""
        if self.listed is not None and (reason := too_many_bytes(self.listed.num_bytes)) is not None:
            return refused_photo(self.source, self.listed, Status.TOO_LARGE, reason)
        try:
            data, state = read_object(self.url, most_bytes=MAX_PHOTO_FILE_BYTES)
        except StoreUnavailableError:
            raise
        except StoreError as exc:
            return refused_photo(self.source, self.listed or GONE, Status.FAILED, f"cannot be read: {exc}")
        if data is None:
            reason = too_many_bytes(state.num_bytes) or f"more than {MAX_PHOTO_FILE_BYTES:,} bytes"
            return refused_photo(self.source, state, Status.TOO_LARGE, reason)
        return photo_of(self.source, data, state)


@dataclass(frozen=True, slots=True)
class InsideEntry:
    """A photo inside a tar shard or a Parquet file.

    Attributes:
        source: What its row is called: the shard, `!`, and its name there.
        container: The state of the shard, which is its own.
        num_bytes: Its size; -1 where that is not known yet.
        data: Its bytes; None where they are still to be read, or where there are none.
        place: The shard, as a path or a URL, and the place of its first byte there; None where it is no file.
        problem: Why it cannot be read; None where it can.
        is_unavailable: Whether that is because its store cannot be had.
    """

    source: str
    container: ObjectState
    num_bytes: int = -1
    data: bytes | None = field(default=None, repr=False)
    place: tuple[bytes | str, int] | None = None
    problem: str | None = None
    is_unavailable: bool = False

    def state(self) -> ObjectState:
        """Return the state of its shard, by which it is known as long as the shard is the same."""
        return ObjectState(num_bytes=-1, mtime_ns=self.container.mtime_ns, etag=self.container.version)

    def read(self) -> Photo:
        """Read it."""
        state = replace(self.state(), num_bytes=self.num_bytes)
        if self.num_bytes >= 0 and (reason := too_many_bytes(self.num_bytes)) is not None:
            return refused_photo(self.source, state, Status.TOO_LARGE, reason)
        data = self.data
        if self.problem is not None and self.is_unavailable:
            raise StoreUnavailableError(self.problem)
        if self.problem is not None:
            return refused_photo(self.source, state, Status.FAILED, self.problem)
        if data is None and self.place is not None:
            try:
                data = _range_of(*self.place, self.num_bytes, self.container)
            except StoreUnavailableError:
                raise
            except (OSError, StoreError) as exc:
                reason = f"cannot be read: {getattr(exc, 'strerror', None) or exc}"
                return refused_photo(self.source, state, Status.FAILED, reason)
        if data is None or len(data) < self.num_bytes:
            return refused_photo(self.source, state, Status.FAILED, CUT_OFF)
        return photo_of(self.source, data, state)


def stored_entry(source: str) -> PhotoEntry | None:
    """Return the photo that a row is called after; None for one in a shard or a table, which only that gives."""
    path = local_file(source)
    if path is None:
        return None if INSIDE in source else ObjectEntry(source)
    return FileEntry(path) if source_text(path) == source else None


def _range_of(container: bytes | str, start: int, length: int, state: ObjectState) -> bytes:
    if length == 0:
        return b""
    if isinstance(container, str):
        return read_range(container, start, length, etag=state.etag)
    with open_regular(container) as file:
        if file_state(os.fstat(file.fileno())) != state:
            raise StoreError("its shard was changed since")
        file.seek(start)
        return file.read(max(0, min(length, state.num_bytes - start)))


def photo_of(source: str, data: bytes, state: ObjectState) -> Photo:
    """Return bytes that were read as a photo, judged by its header."""
    file = PhotoFile(
        source=source,
        num_bytes=len(data),
        mtime_ns=state.mtime_ns,
        etag=state.etag,
        content_hash=hashlib.sha256(data).hexdigest(),
    )
    return judged(data, file)
