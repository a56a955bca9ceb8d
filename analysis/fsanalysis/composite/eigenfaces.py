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
from fsanalysis.composite.mean_face import on_grey
from fsanalysis.composite.preparation import Preparation

COMPONENTS = 8
SAMPLE_FACES = 4000
"""Faces that the components are computed from at most, drawn with a fixed seed: 0.8 GB at 128 pixels."""
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
    oval = prepared.frame.oval
    inside = oval > 0
    sample, keys = _sampled(prepared, cohort, oval, inside, on_face)
    mean = sample.mean(axis=0)
    centred = sample - mean
    # Of n faces, n - 1 components differ from nothing.
    count = min(components, len(sample) - 1)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(values)[::-1][:count]
    variances = np.maximum(values[order], 1e-12)
    axes = (vectors[:, order].T @ centred) / np.sqrt(variances)[:, None]
    # The sign of an eigenvector means nothing: the brighter side is plus, on every machine.
    axes *= np.where(axes.sum(axis=1) < 0, -1, 1)[:, None]
    deviations = np.sqrt(variances / max(len(sample) - 1, 1))
    if keys is not None:
        rows = [(source, index, (centred[row] @ axes.T) / deviations) for row, (source, index) in enumerate(keys)]
    else:
        rows = []
        for face, aligned in prepared.faces(cohort, on_face):
            rows.append((face.source, face.face_index, (_values(aligned, oval, inside) - mean) @ axes.T / deviations))
    steps = DEVIATIONS * deviations[:, None] * axes
    pictures = np.stack([[_picture(mean + sign * step, inside, oval) for sign in (-1, 1)] for step in steps])
    return Eigenfaces(
        mean=_picture(mean, inside, oval),
        shares=values[order] / max(float(values.clip(0).sum()), 1e-12),
        pictures=pictures,
        coefficients=_table(rows, count),
        num_sampled=len(sample),
        cohort=cohort,
    )


def _sampled(
    prepared: Preparation,
    cohort: Cohort,
    oval: NDArray[np.float32],
    inside: NDArray[np.bool_],
    on_face: Callable[[], object] | None,
) -> tuple[NDArray[np.float32], list[tuple[str, int]] | None]:
    """Return the values of a sample, (N, V), and what its rows are where it is all faces."""
    whole = cohort.faces.num_rows <= SAMPLE_FACES
    wanted = cohort if whole else Cohort(cohort.results, cohort.where, cohort.sample(SAMPLE_FACES), cohort.num_found)
    values, keys = [], []
    for face, aligned in prepared.faces(wanted, on_face):
        values.append(_values(aligned, oval, inside))
        keys.append((face.source, face.face_index))
    return np.stack(values), keys if whole else None


def _values(face: AlignedFace, oval: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the light of the face itself as a vector; fainter at the oval's edge and where there is no photo."""
    weight = (face.weight * oval)[inside][:, None]
    values: NDArray[np.float32] = (face.light[inside] * weight).reshape(-1).astype(np.float32)
    return values


def _picture(
    values: NDArray[np.floating],  # type: ignore[type-arg]
    inside: NDArray[np.bool_],
    oval: NDArray[np.float32],
) -> NDArray[np.uint8]:
    light = np.zeros((*inside.shape, 3))
    light[inside] = values.reshape(-1, 3) / oval[inside][:, None]
    return to_srgb(on_grey(light, oval))


def _table(rows: list[tuple[str, int, NDArray[np.float64]]], count: int) -> pa.Table:
    coefficients = np.array([values for _, _, values in rows], np.float32).reshape(-1, count)
    columns = {
        "source": pa.array([source for source, _, _ in rows], pa.string()),
        "face_index": pa.array([index for _, index, _ in rows], pa.int32()),
    }
    columns |= {f"pc{number + 1}": pa.array(coefficients[:, number]) for number in range(count)}
    return pa.table(columns)
