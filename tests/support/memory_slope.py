"""How memory grows with the number of requests: a line through readings, and how sure its slope is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Slope:
    """The slope of a line of least squares.

    Attributes:
        per_thousand: What is added for every thousand requests, in the unit of the readings.
        error: Its standard error, in the same; readings that follow one another are not taken to be independent.
    """

    per_thousand: float
    error: float

    def __str__(self) -> str:
        return f"{self.per_thousand:+.2f} +- {self.error:.2f}"


def slope(requests: Sequence[int], readings: Sequence[float] | NDArray[np.float64]) -> Slope:
    """Return the slope of readings over requests.

    Memory moves in steps that stay, so one reading says much of what the next will be: the error is widened by the
    correlation of neighbours, as if there were fewer readings.

    Args:
        requests: How many had been made at each reading.
        readings: In their order, four or more.
    """
    x, y = np.asarray(requests, np.float64) / 1e3, np.asarray(readings, np.float64)
    away: NDArray[np.float64] = x - x.mean()
    spread = float(away @ away)
    found = float(away @ y) / spread
    rest = y - y.mean() - found * away
    variance = float(rest @ rest) / (len(y) - 2)
    if variance == 0.0:
        return Slope(found, 0.0)
    of_neighbours = float(rest[:-1] @ rest[1:]) / float(rest @ rest)
    widened = (1 + max(0.0, of_neighbours)) / max(1 - of_neighbours, 1 / len(y))
    return Slope(found, float(np.sqrt(widened * variance / spread)))
