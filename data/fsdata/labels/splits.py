"""Splits and folds that never tear a group of photos apart."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.near_duplicates import group_ids
from fsengine.errors import InvalidInputError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
FRACTIONS = {TRAIN: 0.65, VALIDATION: 0.15, TEST: 0.2}
"""Shares of groups, wherever labelled photos are split."""


def split_photos(
    content_hashes: Sequence[str],
    identities: Sequence[str | None],
    embeddings: NDArray[np.float32] | None,
    seed: int,
    pairs: Iterable[tuple[int, int]] = (),
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the group and the split of each photo, as training and `fsdata split` have them.

    Args:
        content_hashes: See `group_ids`, as for all but the seed.
        identities: The same.
        embeddings: The same.
        seed: Another seed gives another split.
        pairs: The same.

    Returns:
        int64 (N,), and N names of `FRACTIONS`.
    """
    groups = group_ids(content_hashes, identities, embeddings, pairs=pairs)
    return groups, assign_splits(groups, FRACTIONS, seed)


def assign_splits(groups: NDArray[np.int64], fractions: Mapping[str, float], seed: int) -> list[str]:
    """Return the split of each photo; a group is never on two sides.

    A group's side depends on the seed and its number alone. The order of the photos does not matter, and a group stays
    on its side when other photos are added to the data set. Sizes come out as asked for many small groups, and only
    roughly for few or large ones.

    Args:
        groups: int64 (N,), from `group_ids`.
        fractions: Split to its share of the groups; shares add up to 1. The order counts.
        seed: Another seed gives another split.

    Returns:
        N names of splits.

    Raises:
        InvalidInputError: The shares are not positive, or do not add up to 1.
    """
    if not fractions or any(not share > 0 for share in fractions.values()):
        raise InvalidInputError(f"fractions are {dict(fractions)}, expected a positive share for each split")
    if not math.isclose(sum(fractions.values()), 1, abs_tol=1e-6):
        raise InvalidInputError(f"fractions {dict(fractions)} add up to {sum(fractions.values()):g}, expected 1")
    names = list(fractions)
    # The last edge is left out: what lies above all others is of the last split, whatever the sum rounds to.
    edges = np.cumsum(list(fractions.values()))[:-1]
    sides = {
        group: names[int(np.searchsorted(edges, _place(group, seed), side="right"))]
        for group in np.unique(groups).tolist()
    }
    return [sides[group] for group in groups.tolist()]


def fold_numbers(groups: NDArray[np.int64], num_folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each photo for cross-validation; folds are as even as whole groups allow.

    Args:
        groups: int64 (N,), from `group_ids`.
        num_folds: How many folds.
        seed: Another seed gives other folds.

    Returns:
        int64 (N,), 0 to num_folds - 1, independent of the order of the photos.

    Raises:
        InvalidInputError: There are fewer than 2 folds, or fewer groups than folds.
    """
    different, counts = np.unique(groups, return_counts=True)
    if num_folds < 2:
        raise InvalidInputError(f"num_folds is {num_folds}, expected >= 2")
    if len(different) < num_folds:
        raise InvalidInputError(
            f"there are {len(different)} groups of photos for {num_folds} folds; give more photos, or fewer folds"
        )
    sizes = dict(zip(different.tolist(), counts.tolist(), strict=True))
    filled = [0] * num_folds
    folds: dict[int, int] = {}
    # Large groups first, each into the emptiest fold; groups of one size in an order that the seed decides.
    for group in sorted(sizes, key=lambda group: (-sizes[group], _place(group, seed))):
        fold = filled.index(min(filled))
        folds[group] = fold
        filled[fold] += sizes[group]
    return np.array([folds[group] for group in groups.tolist()], dtype=np.int64)


def _place(group: int, seed: int) -> float:
    """Return a number of [0, 1) that stands for a group under a seed."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)
