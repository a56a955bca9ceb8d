"""Figures of the `demo` pack's heads on crops kept out of fitting, with 95 % intervals and what chance gives."""

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


def head_figures(
    *,
    genders: NDArray[np.int64],
    predicted_genders: NDArray[np.int64],
    ethnicities: NDArray[np.int64],
    predicted_ethnicities: NDArray[np.int64],
    years: NDArray[np.float64],
    predicted_years: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the figures of all heads; chance is the best constant answer on the same crops."""

    def constant_share(labels: NDArray[np.int64]) -> float:
        return round(float(np.bincount(labels).max() / len(labels)), 3)

    return {
        "gender_accuracy": {
            **share_with_interval(genders == predicted_genders),
            "chance": constant_share(genders),
        },
        "ethnicity_accuracy": {
            **share_with_interval(ethnicities == predicted_ethnicities),
            "chance": constant_share(ethnicities),
        },
        "age_mean_absolute_error_years": {
            **mean_with_interval(np.abs(years - predicted_years)),
            "chance": round(float(np.abs(years - np.median(years)).mean()), 2),
        },
    }
