"""An object as a file that is read in ranges: for readers of tar and Parquet."""

from __future__ import annotations

import errno
import io

from fsengine.errors import StoreError
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.objects import read_range
from fsengine.files.stores.store_urls import public_url


class RangeFile(io.RawIOBase):
    """A file for reading whose every read asks for a range of one version of an object.

    `io.BufferedReader` around it reads ahead.
    """

    def __init__(self, url: str, state: ObjectState) -> None:
        """Make it; nothing is asked for yet.

        Args:
            url: Where the object is.
            state: Its state; another version than this is refused.

        Raises:
            StoreError: A web server does not say how large it is.
        """
        super().__init__()
        if state.num_bytes < 0:
            raise StoreError(f"{public_url(url)}: the server does not say how large it is; download it")
        self._url = url
        self._etag = state.etag
        self._size = state.num_bytes
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "the place lies before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, less at the end of the object, and return the number of bytes.

        Raises:
            StoreError: See `read_range`.
        """
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        data = read_range(self._url, self._at, wanted, etag=self._etag)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
