"""What faces differ in most: principal components of their pictures in one frame.

Exact, through the eigenvectors of the Gram matrix of a sample (Turk and Pentland, Eigenfaces for recognition, 1991);
then every face is projected, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsanalysis.composite.cohort import Cohort
from fsanalysis.composite.frame import AlignedFace
from fsanalysis.composite.light import to_srgb
from fsanalysis.composite.mean_face import on_grey, shown_where
from fsanalysis.composite.preparation import Preparation

COMPONENTS = 8
SAMPLE_FACES = 4000
"""Faces that the components are computed from at most, drawn with a fixed seed: 0.4 GB at 128 pixels."""
SIDE_PX = 128
DEVIATIONS = 2.0
"""Standard deviations that the pictures of a component are away from the mean."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Eigenfaces:
    """The mean of faces and the components of their differences.

    Attributes:
        mean: uint8 (S, S, 3), RGB, sRGB.
        shares: Share of the variance of each component, float64 (K,), falling.
        pictures: uint8 (K, 2, S, S, 3): the mean less, and plus, two standard deviations of each component.
        coefficients: A row per face: source, face_index, and `pc1` to `pcK`, in standard deviations.
        num_sampled: Faces that the components were computed from.
        cohort: Whose faces, with what was left out.
    """

    mean: NDArray[np.uint8]
    shares: NDArray[np.float64]
    pictures: NDArray[np.uint8]
    coefficients: pa.Table
    num_sampled: int
    cohort: Cohort


def make_eigenfaces(
    prepared: Preparation, cohort: Cohort, *, components: int = COMPONENTS, on_face: Callable[[], object] | None = None
) -> Eigenfaces:
    """Return the components of the faces of a query.

    Args:
        prepared: With a frame of any side; 128 pixels suffice.
        cohort: One of its queries.
        components: How many.
        on_face: Called after each face that is looked at, twice where there are more than the sample holds.

    Raises:
        InvalidInputError: Too few faces could be used.
    """
    space = _FaceSpace(prepared.frame.oval)
    whole = cohort.faces.num_rows <= SAMPLE_FACES
    wanted = cohort if whole else Cohort(cohort.results, cohort.where, cohort.sample(SAMPLE_FACES), cohort.num_found)
    # In place, and filled row by row: the sample is what takes the memory.
    sample = np.empty((wanted.faces.num_rows, space.num_values), np.float32)
    weights = np.empty((wanted.faces.num_rows, space.num_pixels), np.float32)
    shown = np.zeros(prepared.frame.oval.shape)
    keys: list[tuple[str, int]] = []
    for face, aligned in prepared.faces(wanted, on_face):
        sample[len(keys)], weights[len(keys)] = space.weighted(aligned)
        shown += aligned.weight
        keys.append((face.source, face.face_index))
    centred, weights = sample[: len(keys)], weights[: len(keys)]
    mean = centred.sum(axis=0, dtype=np.float64) / np.repeat(np.maximum(weights.sum(axis=0), 1e-6), 3)
    for row, weight in zip(centred, weights, strict=True):
        row[:] = space.deviation(row, weight, mean)
    del weights
    # Of n faces, n - 1 components differ from nothing.
    count = min(components, len(centred) - 1)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(values)[::-1][:count]
    variances = np.maximum(values[order], 1e-12)
    axes = (vectors[:, order].T @ centred) / np.sqrt(variances)[:, None]
    # The sign of an eigenvector means nothing: the brighter side is plus, on every machine.
    axes *= np.where(axes.sum(axis=1) < 0, -1, 1)[:, None]
    deviations = np.sqrt(variances / max(len(centred) - 1, 1))
    if whole:
        rows = [(*key, (row @ axes.T) / deviations) for key, row in zip(keys, centred, strict=True)]
    else:
        rows = []
        for face, aligned in prepared.faces(cohort, on_face):
            deviation = space.deviation(*space.weighted(aligned), mean)
            rows.append((face.source, face.face_index, deviation @ axes.T / deviations))
    steps = DEVIATIONS * deviations[:, None] * axes
    faded = np.minimum(shown_where(shown), prepared.frame.oval)
    pictures = np.stack([[space.picture(mean, sign * step, faded) for sign in (-1, 1)] for step in steps])
    return Eigenfaces(
        mean=space.picture(mean, np.zeros_like(mean), faded),
        shares=values[order] / max(float(values.clip(0).sum()), 1e-12),
        pictures=pictures,
        coefficients=_table(rows, count),
        num_sampled=len(keys),
        cohort=cohort,
    )


class _FaceSpace:
    """The light of the face itself as a vector: three values for each of P pixels in the oval."""

    def __init__(self, oval: NDArray[np.float32]) -> None:
        self._inside = oval > 0
        self._oval = oval[self._inside]
        self.num_pixels = len(self._oval)
        self.num_values = 3 * self.num_pixels

    def weighted(self, face: AlignedFace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return its light times its weight, float32 (3 P), and its weight, float32 (P)."""
        weight = face.weight[self._inside]
        return (face.light[self._inside] * weight[:, None]).reshape(-1), weight

    def deviation(
        self, weighted: NDArray[np.float32], weight: NDArray[np.float32], mean: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return what a face differs from the mean in, (3 P): fainter at the oval's edge, 0 where there is no photo."""
        found = (weighted.reshape(-1, 3) - mean.reshape(-1, 3) * weight[:, None]) * self._oval[:, None]
        return found.reshape(-1).astype(np.float32)

    def picture(
        self, mean: NDArray[np.float64], deviation: NDArray[np.float64], shown: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """Return a face that differs from the mean, uint8 (S, S, 3)."""
        light = np.zeros((*self._inside.shape, 3))
        light[self._inside] = mean.reshape(-1, 3) + deviation.reshape(-1, 3) / self._oval[:, None]
        return to_srgb(on_grey(light.clip(0, 1), shown))


def _table(rows: list[tuple[str, int, NDArray[np.float64]]], count: int) -> pa.Table:
    coefficients = np.array([values for _, _, values in rows], np.float32).reshape(-1, count)
    columns = {
        "source": pa.array([source for source, _, _ in rows], pa.string()),
        "face_index": pa.array([index for _, index, _ in rows], pa.int32()),
    }
    columns |= {f"pc{number + 1}": pa.array(coefficients[:, number]) for number in range(count)}
    return pa.table(columns)
