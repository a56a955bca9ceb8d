"""Similarities between point sets, and the mean shape of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_ROUNDS = 6


def similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """Return the similarity (2, 3) that takes points (N, 2) to others with the least squared error.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991, without
    reflections.
    """
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    a, b = source - mean_source, target - mean_target
    norm = max(float((a**2).sum()), 1e-12)
    cosine = float((a * b).sum()) / norm
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / norm
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.hstack([turn, (mean_target - turn @ mean_source)[:, None]])


def moved(points: Points, move: NDArray[np.float64]) -> Points:
    """Return points (N, 2) after an affine move (2, 3)."""
    result: Points = points @ move[:, :2].T + move[:, 2]
    return result


def mean_shape(shapes: Sequence[Points], side: float, share: float, level: tuple[int, int]) -> Points:
    """Return the median shape of many after each was moved onto it, six rounds.

    Args:
        shapes: One or more, (N, 2) each.
        side: Of the square frame that it lies in.
        share: Height of the shape as a share of the side.
        level: Two points that lie at one height in it, the left one first; else it would lean as the first shape does.

    Returns:
        (N, 2), its box in the middle of the frame.
    """
    mean = _framed(_levelled(shapes[0], level), side, share)
    for _ in range(_ROUNDS):
        aligned = np.stack([moved(shape, similarity(shape, mean)) for shape in shapes])
        mean = _framed(_levelled(np.median(aligned, axis=0), level), side, share)
    return mean


def _levelled(shape: Points, level: tuple[int, int]) -> Points:
    across = shape[level[1]] - shape[level[0]]
    cosine, sine = across / max(float(np.linalg.norm(across)), 1e-9)
    turned: Points = shape @ np.array([[cosine, -sine], [sine, cosine]])
    return turned


def _framed(shape: Points, side: float, share: float) -> Points:
    low, high = shape.min(axis=0), shape.max(axis=0)
    scale = share * side / max(float(high[1] - low[1]), 1e-6)
    framed: Points = (shape - (low + high) / 2) * scale + side / 2
    return framed
