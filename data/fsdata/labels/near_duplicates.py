"""Groups of photos that belong together: the same bytes, the same person, or nearly the same picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import InvalidInputError

BLOCK_ROWS = 2048
"""Rows compared with each other at once: 16 MiB of cosines, however many photos there are."""

_NORM_TOLERANCE = 1e-2
"""float16 embeddings, widened, are this far from unit length at most."""


def group_ids(
    content_hashes: Sequence[str],
    identities: Sequence[str | None],
    embeddings: NDArray[np.float32] | None = None,
    near_duplicate_cosine: float = 0.97,
    pairs: Iterable[tuple[int, int]] = (),
) -> NDArray[np.int64]:
    """Return which photos must stay on one side of a split.

    Photos are joined that have the same content, the same identity, or embeddings with at least a certain cosine, and
    whatever is joined with one of them. A group's number comes from the smallest content hash in it, so it is the same
    in every order of the photos, and in every data set that holds the same group.

    Args:
        content_hashes: N hashes of the files.
        identities: N identities, unique over all data sets; None where it is not known.
        embeddings: float32 (N, D), L2-normalized; a row of zeros for a photo without one. None compares no pictures.
        near_duplicate_cosine: From this cosine on, two photos count as one picture.
        pairs: Rows of photos that belong together for another reason.

    Returns:
        int64 (N,), equal numbers for photos of one group, not negative.

    Raises:
        InvalidInputError: Lengths differ, a hash is empty, or embeddings are not normalized.
    """
    count = len(content_hashes)
    if len(identities) != count:
        raise InvalidInputError(
            f"there are {len(identities)} identities for {count} photos; expected one each, or None"
        )
    if not all(content_hashes):
        raise InvalidInputError("a content hash is empty; leave photos out that cannot be read")
    forest = _Forest(count)
    forest.join_equal(content_hashes)
    forest.join_equal(identities)
    for one, other in pairs:
        forest.join(one, np.array([other]))
    if embeddings is not None:
        _check_embeddings(embeddings, count)
        if not 0 < near_duplicate_cosine <= 1:
            raise InvalidInputError(
                f"near_duplicate_cosine is {near_duplicate_cosine}, expected more than 0, at most 1"
            )
        for row, others in _near_pairs(embeddings, near_duplicate_cosine):
            forest.join(row, others)
    return _numbers(forest.roots(), content_hashes)


def _check_embeddings(embeddings: NDArray[np.float32], count: int) -> None:
    if embeddings.ndim != 2 or len(embeddings) != count or embeddings.dtype != np.float32:
        raise InvalidInputError(
            f"embeddings are {embeddings.dtype} {embeddings.shape}, expected float32 ({count}, D), a row per photo"
        )
    norms = np.linalg.norm(embeddings, axis=1)
    bad = np.flatnonzero(~((np.abs(norms - 1) <= _NORM_TOLERANCE) | (norms == 0)))
    if len(bad):
        raise InvalidInputError(
            f"embedding {bad[0]} has length {norms[bad[0]]:.4g}, expected 1, or 0 for a photo without one; "
            "divide each row by its length"
        )


def _near_pairs(embeddings: NDArray[np.float32], cosine: float) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield a row and all later rows near it, from blocks of cosines of bounded size."""
    for top in range(0, len(embeddings), BLOCK_ROWS):
        rows = embeddings[top : top + BLOCK_ROWS]
        for left in range(top, len(embeddings), BLOCK_ROWS):
            near = rows @ embeddings[left : left + BLOCK_ROWS].T >= cosine
            if left == top:
                near = np.triu(near, k=1)
            for row in np.flatnonzero(near.any(axis=1)):
                yield top + int(row), np.flatnonzero(near[row]) + left


def _numbers(roots: NDArray[np.int64], content_hashes: Sequence[str]) -> NDArray[np.int64]:
    smallest: dict[int, str] = {}
    for root, content in zip(roots.tolist(), content_hashes, strict=True):
        smallest[root] = min(smallest.get(root, content), content)
    # 63 bits: two of a million groups meet once in 20 million tries, and would only be kept together.
    numbers = {
        root: int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big") >> 1
        for root, content in smallest.items()
    }
    return np.array([numbers[root] for root in roots.tolist()], dtype=np.int64)


class _Forest:
    """Union-find over N rows; the root of a tree is its smallest row."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count, dtype=np.int64)

    def join(self, row: int, others: NDArray[np.int64]) -> None:
        """Put a row and others into one tree."""
        # Among many copies nearly all are joined already; they are left out at once.
        for other in others[self._parent[others] != self._find(row)].tolist():
            first, second = sorted((self._find(row), self._find(other)))
            self._parent[second] = first

    def join_equal(self, values: Sequence[str | None]) -> None:
        """Join rows with equal values; None equals nothing."""
        first: dict[str, int] = {}
        for row, value in enumerate(values):
            if value is not None and first.setdefault(value, row) != row:
                self.join(first[value], np.array([row]))

    def roots(self) -> NDArray[np.int64]:
        """Return the root of each row."""
        return np.array([self._find(row) for row in range(len(self._parent))], dtype=np.int64)

    def _find(self, row: int) -> int:
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row
