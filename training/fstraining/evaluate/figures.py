"""Figures with 95 % intervals, and what the best constant answer gives on the same faces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Z = 1.959964


def share_with_interval(hits: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a share of hits with its Wilson interval (Wilson 1927), each to three digits."""
    n, p = len(hits), float(hits.mean())
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return {"n": n, "value": round(p, 3), "interval": [round(centre - half, 3), round(centre + half, 3)]}


def mean_with_interval(errors: NDArray[np.float64], digits: int = 2) -> dict[str, Any]:
    """Return a mean with its normal interval, rounded."""
    n, mean = len(errors), float(errors.mean())
    half = _Z * float(errors.std(ddof=1)) / math.sqrt(n)
    interval = [round(mean - half, digits), round(mean + half, digits)]
    return {"n": n, "value": round(mean, digits), "interval": interval}


def constant_share(classes: NDArray[np.int64], digits: int) -> float:
    """Return the share right of the commonest class, rounded."""
    return round(float(np.bincount(classes).max() / len(classes)), digits)


def constant_error(targets: NDArray[np.float64], digits: int) -> float:
    """Return the mean absolute error of the median, rounded."""
    return round(float(np.abs(targets - np.median(targets)).mean()), digits)
