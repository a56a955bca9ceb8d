"""Smoothing thin-plate splines from one fixed set of points to those of any face.

With fixed target points the spline is linear in the source points (Bookstein, Principal warps, 1989; smoothing as in
Wahba, Spline models for observational data, 1990), so that one matrix is computed once and a face costs a product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsanalysis.composite.similarity import Points

GRID = 65
"""Points along a side of the grid on which a spline is evaluated; between them it is interpolated."""

FOLDED_SHARE = 0.002
"""Of the grid's cells; above it a map is folded, and tears."""


class ThinPlate:
    """The spline of one frame and one smoothing."""

    def __init__(self, target: Points, side: int, smoothing: float) -> None:
        """Compute the matrix.

        Args:
            target: Where the points lie in the frame, (N, 2).
            side: Of the frame.
            smoothing: Lambda, with coordinates divided by the side; larger is stiffer.
        """
        self._side = side
        points = target / side
        count = len(points)
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = _radial(points, points) + smoothing * np.eye(count)
        system[:count, count:] = np.hstack([np.ones((count, 1)), points])
        system[count:, :count] = system[:count, count:].T
        line = np.linspace(0, 1, GRID)
        grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        rows = np.hstack([_radial(grid, points), np.ones((len(grid), 1)), grid])
        self._matrix: NDArray[np.float64] = (rows @ np.linalg.inv(system))[:, :count]

    def grid_of(self, source: Points) -> NDArray[np.float64]:
        """Return where the grid's points lie in a face's image, float64 (65, 65, 2), as x and y."""
        return (self._matrix @ source).reshape(GRID, GRID, 2)


def is_folded(grid: NDArray[np.float64]) -> bool:
    """Return whether a map turns more than two cells in a thousand inside out."""
    right, down = np.diff(grid, axis=1)[:-1], np.diff(grid, axis=0)[:, :-1]
    turned = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0] <= 0
    return bool(turned.mean() > FOLDED_SHARE)


def grid_of_similarity(move: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the grid of an affine move (2, 3) from the frame to a face's image; see `ThinPlate.grid_of`."""
    line = np.linspace(0, side, GRID)
    grid = np.stack(np.meshgrid(line, line), axis=-1)
    result: NDArray[np.float64] = grid @ move[:, :2].T + move[:, 2]
    return result


def pixel_maps(grid: NDArray[np.float64], side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y in the image for each pixel of the frame, float32 (side, side), for `cv2.remap`."""
    # Pixel i has its centre at i + 0.5; the image's pixels likewise.
    places = (np.arange(side) + 0.5) / side * (GRID - 1)
    low = np.minimum(places.astype(int), GRID - 2)
    between = np.zeros((side, GRID))
    between[np.arange(side), low] = 1 - (places - low)
    between[np.arange(side), low + 1] = places - low
    x, y = (between @ grid[..., axis] @ between.T - 0.5 for axis in range(2))
    return x.astype(np.float32), y.astype(np.float32)


def _radial(a: Points, b: Points) -> NDArray[np.float64]:
    """Return U(r) = r^2 log r^2 between points."""
    squared = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
    result: NDArray[np.float64] = squared * np.log(np.maximum(squared, 1e-12))
    return result
