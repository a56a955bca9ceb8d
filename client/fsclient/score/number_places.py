"""Where numbers stand beside boxes, so that none covers a face: plain geometry.

Rectangles are float64 (x0, y0, x1, y1) in pixels of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[float, float, float, float]

_CELLS_PER_HEIGHT = 4
"""Cells of the grid on which a free place is looked for, in the height of a number."""


def number_places(
    boxes: Sequence[Rectangle], sizes: Sequence[tuple[float, float]], room: Rectangle, gap: float
) -> list[Rectangle] | None:
    """Return a rectangle for the number of each box; no two overlap, and none overlaps a box.

    A number stands at the edge of its box where there is room, above it if possible and not beside another box, and
    else at the nearest free place.

    Args:
        boxes: Of the faces.
        sizes: Width and height of each number.
        room: Where numbers may stand.
        gap: From a box to its number.

    Returns:
        The rectangles; None where one number finds no place.
    """
    taken = np.array(boxes, np.float64).reshape(-1, 4)
    others = taken
    placed: list[Rectangle] = []
    for index, (box, (width, height)) in enumerate(zip(boxes, sizes, strict=True)):
        corners = _within(_beside(box, width, height, gap), width, height, room)
        rectangles = _free(_rectangles(corners, width, height), taken)
        if len(rectangles):
            # Beside two boxes a number could be that of either.
            is_near_another = ~_are_clear(rectangles, np.delete(others, index, axis=0), 2 * gap + height / 4)
            chosen = rectangles[int(np.argmin(is_near_another))]
        elif (nearest := _nearest(box, width, height, room, taken)) is not None:
            chosen = nearest
        else:
            return None
        placed.append((float(chosen[0]), float(chosen[1]), float(chosen[2]), float(chosen[3])))
        taken = np.vstack([taken, chosen])
    return placed


def distance(a: Rectangle, b: Rectangle) -> float:
    """Return the distance between two rectangles; 0 where they touch or overlap."""
    return float(np.hypot(max(a[0] - b[2], b[0] - a[2], 0.0), max(a[1] - b[3], b[1] - a[3], 0.0)))


def _beside(box: Rectangle, width: float, height: float, gap: float) -> NDArray[np.float64]:
    """Return upper left corners at the edge of a box, float64 (N, 2), the best first."""
    x0, y0, x1, y1 = box
    lefts = (x0, (x0 + x1 - width) / 2, x1 - width)
    above = [(x, y0 - gap - height) for x in lefts]
    below = [(x, y1 + gap) for x in lefts]
    sides = [(x, y) for y in (y0, y1 - height) for x in (x1 + gap, x0 - gap - width)]
    return np.array([*above, *below, *sides])


def _nearest(
    box: Rectangle, width: float, height: float, room: Rectangle, taken: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the free rectangle that is nearest to a box, on a grid; None where there is none.

    Cells of the grid that anything taken touches are summed up over the picture, so that a look at a place takes four
    numbers, whatever lies there.
    """
    cell = height / _CELLS_PER_HEIGHT
    columns, rows = (max(int((room[axis + 2] - room[axis]) // cell), 0) for axis in (0, 1))
    wide, high = math.ceil(width / cell), math.ceil(height / cell)
    if columns < wide or rows < high:
        return None
    blocked = np.zeros((rows + 1, columns + 1), np.int64)
    first = np.floor((taken[:, :2] - room[:2]) / cell).astype(np.int64).clip(0, (columns, rows))
    last = np.ceil((taken[:, 2:] - room[:2]) / cell).astype(np.int64).clip(0, (columns, rows))
    for (x0, y0), (x1, y1) in zip(first.tolist(), last.tolist(), strict=True):
        blocked[y0 + 1 : y1 + 1, x0 + 1 : x1 + 1] = 1
    sums = blocked.cumsum(axis=0).cumsum(axis=1)
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    free = np.argwhere(inside == 0)[:, ::-1]
    if not len(free):
        return None
    rectangles = _rectangles(free * cell + room[:2], width, height)
    apart = np.maximum(np.maximum(rectangles[:, :2] - box[2:], np.array(box[:2]) - rectangles[:, 2:]), 0.0)
    found: NDArray[np.float64] = rectangles[int(np.argmin(np.hypot(*apart.T)))]
    return found


def _rectangles(corners: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    return np.concatenate([corners, corners + (width, height)], axis=1)


def _within(corners: NDArray[np.float64], width: float, height: float, room: Rectangle) -> NDArray[np.float64]:
    """Return the corners whose rectangles lie in a room."""
    inside = (corners >= room[:2]).all(axis=1) & (corners + (width, height) <= room[2:]).all(axis=1)
    found: NDArray[np.float64] = corners[inside]
    return found


def _free(rectangles: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rectangles that overlap nothing that is taken."""
    found: NDArray[np.float64] = rectangles[_are_clear(rectangles, taken, 0.0)]
    return found


def _are_clear(rectangles: NDArray[np.float64], others: NDArray[np.float64], by: float) -> NDArray[np.bool_]:
    """Return which rectangles (N, 4) keep a distance along x or y from all others (M, 4), bool (N,)."""
    a, b = rectangles[:, None, :], others[None, :, :]
    apart = (a[..., :2] >= b[..., 2:] + by) | (a[..., 2:] <= b[..., :2] - by)
    clear: NDArray[np.bool_] = apart.any(axis=2).all(axis=1)
    return clear
