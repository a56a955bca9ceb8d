"""Which faces are trained on, which stop and calibrate, and which are kept out to measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.splits import FRACTIONS, TEST, TRAIN, VALIDATION, fold_numbers, split_photos
from fsdata.labels.training_faces import TrainingFaces
from fsengine.errors import InvalidInputError

SIZES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the faces to train on, of a learning curve over their number."""
LEAST_FACES = 60
"""Faces below which neither a figure nor an interval means anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSplits:
    """Rows by what they are for; faces of one person, and copies, are on one side.

    Attributes:
        train: int64 (N,).
        validation: int64 (N,).
        test: int64 (N,).
        groups: int64 (all,), the group of each face.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    groups: NDArray[np.int64]

    @property
    def fitted(self) -> NDArray[np.int64]:
        """Return the rows that may decide anything, in their order: all but those that figures are made on."""
        return np.sort(np.concatenate([self.train, self.validation]))

    def folds(self, rows: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
        """Return the fold of each of some rows, groups kept together."""
        return fold_numbers(self.groups[rows], count, seed)


def growing_parts(rows: NDArray[np.int64], least: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield ever larger parts of some rows, each holding the one before, for a learning curve over their number."""
    order = np.random.default_rng(seed).permutation(rows)
    for share in SIZES:
        yield order[: max(int(share * len(order)), least)]


def split_faces(faces: TrainingFaces, seed: int) -> FaceSplits:
    """Split faces, fixed by a seed.

    Raises:
        InvalidInputError: There are too few, or all of them are of one group.
    """
    if len(faces.records) < LEAST_FACES:
        raise InvalidInputError(
            f"{len(faces.records)} faces have labels, expected at least {LEAST_FACES}; left out: {dict(faces.left_out)}"
        )
    identities = [record.identity_key for record in faces.records]
    groups, named = split_photos(list(faces.content_hashes), identities, faces.embeddings, seed)
    sides = np.array(named)
    rows = {side: np.flatnonzero(sides == side) for side in FRACTIONS}
    if min(len(found) for found in rows.values()) < 5:
        raise InvalidInputError(
            f"{len(faces.records)} faces are of {len(np.unique(groups))} persons or near-duplicates, too few to keep "
            "some out"
        )
    return FaceSplits(train=rows[TRAIN], validation=rows[VALIDATION], test=rows[TEST], groups=groups)
