"""A set of texts that takes 16 bytes for each: their digests, in sorted arrays of doubling size."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_AT_A_TIME = 65536
_NUM_BYTES = 16


class SeenTexts:
    """Which texts were seen. Two of n share a digest with a chance of about n * n / 2**129."""

    def __init__(self) -> None:
        """Make an empty set."""
        self._recent: set[bytes] = set()
        self._sorted: list[NDArray[np.void]] = []

    def __len__(self) -> int:
        """Return the number of different texts."""
        return len(self._recent) + sum(map(len, self._sorted))

    def __contains__(self, text: bytes) -> bool:
        """Return whether a text was added."""
        return self._holds(_digest(text))

    def add(self, text: bytes) -> bool:
        """Add a text; return whether it is new."""
        digest = _digest(text)
        if self._holds(digest):
            return False
        self._recent.add(digest)
        if len(self._recent) >= _AT_A_TIME:
            self._settle()
        return True

    def discard(self, text: bytes) -> None:
        """Forget a text that was added."""
        digest = _digest(text)
        self._recent.discard(digest)
        for number, array in enumerate(self._sorted):
            key = np.frombuffer(digest, array.dtype)[0]
            at = int(np.searchsorted(array, key))
            if at < len(array) and array[at] == key:
                self._sorted[number] = np.delete(array, at)

    def _holds(self, digest: bytes) -> bool:
        if digest in self._recent:
            return True
        for array in self._sorted:
            key = np.frombuffer(digest, array.dtype)[0]
            at = int(np.searchsorted(array, key))
            if at < len(array) and array[at] == key:
                return True
        return False

    def _settle(self) -> None:
        """Sort what is recent, and merge arrays of about one size, so that few are to be asked."""
        newest = np.frombuffer(b"".join(self._recent), f"S{_NUM_BYTES}")
        self._recent.clear()
        while self._sorted and len(self._sorted[-1]) <= len(newest):
            newest = np.concatenate([self._sorted.pop(), newest])
        self._sorted.append(np.sort(newest))


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=_NUM_BYTES).digest()
