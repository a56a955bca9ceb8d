"""The mean of the faces of a query, or of several in one frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsanalysis.composite.cohort import Cohort
from fsanalysis.composite.light import to_srgb
from fsanalysis.composite.preparation import MIN_FACES, PER_PHOTO, SIDE_PX, Preparation
from fsdata.results.reading import Results

GREY = 0.2140
"""sRGB 127.5 in linear light."""
_FADED, _WHOLE = 0.2, 0.7
"""Shares of the greatest weight between which a picture comes out of grey."""
_SOFT = 0.02
"""Of the frame's side: by how much that is smoothed, as photos end in straight lines."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Composite:
    """The mean of faces.

    Attributes:
        where: The query; None for all faces.
        picture: uint8 (S, S, 3), RGB, sRGB.
        num_found: Faces that the query selects.
        num_used: Faces that count.
        left_out: The others by reason.
        methods: Faces by how they were moved: `spline`, `stiff spline` or `similarity`.
        light: The mean in linear light, float64 (S, S, 3), before it was faded and masked.
        shown: Where it is shown, float64 (S, S): 1, 0 where not, and what is between.
    """

    where: str | None
    picture: NDArray[np.uint8]
    num_found: int
    num_used: int
    left_out: Mapping[str, int]
    methods: Mapping[str, int]
    light: NDArray[np.float64]
    shown: NDArray[np.float64]


def make_composite(
    results: Results,
    where: str | None,
    *,
    min_faces: int = MIN_FACES,
    per_photo: int = PER_PHOTO,
    side: int = SIDE_PX,
    mask: bool = False,
    on_face: Callable[[], object] | None = None,
) -> Composite:
    """Return the mean of the faces that a query selects.

    Memory does not grow with their number, but for the rows of the query.

    Args:
        results: Whose faces.
        where: One expression over the columns of faces; None for all.
        min_faces: The fewest faces; a mean of fewer shows persons.
        per_photo: Faces of one photo that count.
        side: Of the picture, in pixels.
        mask: Whether the face alone is shown, in an oval.
        on_face: Called after each face that is looked at, those that shape and luminance are taken from twice.

    Raises:
        InvalidInputError: It is no expression, or selects too few faces.
        MissingDependencyError: The extra `analysis` is not installed.
        ResultsError: Results or crops are damaged.
    """
    cohort = Cohort.select(results, where, per_photo=per_photo)
    prepared = Preparation(results, [cohort], side=side, min_faces=min_faces, on_face=on_face)
    return mean_of(prepared, cohort, mask=mask, on_face=on_face)


def mean_of(
    prepared: Preparation, cohort: Cohort, *, mask: bool, on_face: Callable[[], object] | None = None
) -> Composite:
    """Return the mean of the faces of one query of several; see `make_composite`."""
    side = prepared.frame.side
    total, weights = np.zeros((side, side, 3)), np.zeros((side, side))
    methods: Counter[str] = Counter()
    for _, face in prepared.faces(cohort, on_face):
        total += face.light * face.weight[..., None]
        weights += face.weight
        methods[face.method] += 1
    light = total / np.maximum(weights, 1e-6)[..., None]
    shown = shown_where(weights)
    if mask:
        shown = np.minimum(shown, prepared.frame.oval)
    return Composite(
        where=cohort.where,
        picture=to_srgb(on_grey(light, shown)),
        num_found=cohort.num_found,
        num_used=methods.total(),
        left_out=dict(sorted(cohort.left_out.items())),
        methods=dict(sorted(methods.items())),
        light=light,
        shown=shown,
    )


def shown_where(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where enough faces have photo for a picture to be shown: 1, 0 where not, and what is between."""
    import cv2

    soft = cv2.GaussianBlur(weights, (0, 0), _SOFT * len(weights))
    shown: NDArray[np.float64] = np.clip((soft / max(soft.max(), 1e-6) - _FADED) / (_WHOLE - _FADED), 0, 1)
    return shown


def on_grey(light: NDArray[np.float64], shown: NDArray[np.floating]) -> NDArray[np.float64]:  # type: ignore[type-arg]
    """Return a picture in linear light that fades to grey where it is not shown."""
    faded: NDArray[np.float64] = light * shown[..., None] + GREY * (1 - shown[..., None])
    return faded


def difference(a: Composite, b: Composite) -> NDArray[np.uint8]:
    """Return how the second composite differs from the first: grey where it does not, brighter where it is brighter.

    Differences of sRGB values are shown twice as large, and only where both are shown: else the edges of their photos
    would look like a difference.
    """
    both = np.minimum(a.shown, b.shown)[..., None]
    values = 127.5 + 2 * both * (to_srgb(b.light).astype(np.float64) - to_srgb(a.light))
    shown: NDArray[np.uint8] = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return shown
