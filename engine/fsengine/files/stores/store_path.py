"""A place in an object store, with what of `pathlib.Path` readers and writers of results use."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, TypeAlias, cast

from fsengine.errors import InvalidInputError
from fsengine.files.stores.objects import explained, object_state, opened, state_if_there
from fsengine.files.stores.range_file import RangeFile
from fsengine.files.stores.store_urls import (
    bucket_and_key,
    checked_url,
    is_store_url,
    is_url,
    local_path,
    mistyped,
    public_url,
)

_READ_AHEAD_BYTES = 1 << 20
_IN_MEMORY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class StoreStat:
    """What `Path.stat` gives of an object.

    Attributes:
        st_size: Its size in bytes.
        st_mtime_ns: Time of its last change in nanoseconds since 1970.
    """

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True, slots=True, order=True)
class StorePath:
    """An object, or a prefix as a folder.

    Attributes:
        url: For example `s3://bucket/results`, without a slash at its end.
    """

    url: str

    def __str__(self) -> str:
        """Return its URL."""
        return self.url

    def __truediv__(self, name: str | os.PathLike[str]) -> StorePath:
        """Return what lies below it."""
        return StorePath(f"{self.url}/{os.fspath(name)}")

    @property
    def name(self) -> str:
        """Return the last part of its key."""
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Return its name without the suffix."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def parent(self) -> StorePath:
        """Return the folder that it lies in."""
        return StorePath(self.url.rpartition("/")[0])

    def absolute(self) -> StorePath:
        """Return itself."""
        return self

    def iterdir(self) -> Iterator[StorePath]:
        """Yield the objects that lie in it as in a folder, and its folders.

        Raises:
            StoreError: It cannot be listed.
        """
        root, key = bucket_and_key(self.url)
        store, _ = opened(self.url)
        with explained(self.url):
            found = store.list_with_delimiter(key or None)
        names = [meta["path"] for meta in found["objects"]] + list(found["common_prefixes"])
        yield from (StorePath(f"{root}/{name}") for name in sorted(names) if name.rstrip("/") != key)

    def is_dir(self) -> bool:
        """Return whether anything lies below it."""
        return next(self.iterdir(), None) is not None

    def exists(self) -> bool:
        """Return whether it is an object."""
        return state_if_there(self.url) is not None

    def stat(self) -> StoreStat:
        """Return size and time.

        Raises:
            OSError: It is not there.
            StoreUnavailableError: The store cannot be had.
        """
        if (state := state_if_there(self.url)) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url)
        return StoreStat(st_size=state.num_bytes, st_mtime_ns=state.mtime_ns)

    def open_bytes(self) -> BinaryIO:
        """Open it for reading.

        Raises:
            StoreError: It is not there, or the store cannot be had.
        """
        return io.BufferedReader(RangeFile(self.url, object_state(self.url)), _READ_AHEAD_BYTES)

    @contextmanager
    def written(self) -> Iterator[BinaryIO]:
        """Give a file to fill, which becomes the object when the context ends well: in one request, or in pieces.

        Pieces are no object before the last request says so. On any error what was there stays.

        Raises:
            StoreError: The store does not take it.
            OSError: The disk for temporary files is full.
        """
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
            yield cast("BinaryIO", file)
            self._put(file)

    def _put(self, file: IO[bytes]) -> None:
        file.seek(0)
        store, key = opened(self.url)
        with explained(self.url):
            store.put(key, file)

    def create(self, data: bytes) -> bool:
        """Write it whole where nothing is there; return whether it holds these bytes now.

        A request whose answer was lost may have written it.

        Raises:
            StoreError: The store does not take it.
        """
        store, key = opened(self.url)
        from obstore.exceptions import AlreadyExistsError

        with explained(self.url):
            try:
                store.put(key, data, mode="create")
            except AlreadyExistsError:
                return store.get(key).bytes().to_bytes() == data
        return True


AnyPath: TypeAlias = Path | StorePath
"""A file or a folder, here or in an object store."""


def any_path(text: str) -> AnyPath:
    """Return the place that a text names: a path, or a URL of a store.

    Raises:
        InvalidInputError: It is a URL that nothing can be written to, or was meant to be one.
    """
    if (meant := mistyped(text)) is not None:
        raise InvalidInputError(f"{text} is a path, and looks like a URL; expected {meant}, or ./{text} for a folder")
    if not is_url(text):
        return Path(text)
    if (path := local_path(text)) is not None:
        return Path(os.fsdecode(path))
    if not is_store_url(text):
        raise InvalidInputError(
            f"{public_url(text)} is no place for results; expected a folder, or a URL of a store: s3://, gs:// or az://"
        )
    return StorePath(checked_url(text).rstrip("/"))
