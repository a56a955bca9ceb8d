"""Figures with 95 % intervals, and what the best constant answer gives on the same faces."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CONFIDENCE = 0.95
_DRAWS = 1000
_SEED = 20260101
_NUMBERS_AT_ONCE = 1 << 22
"""Rows of all draws that are held at once, so that large data sets need no more memory than small ones."""


def share_with_interval(hits: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a share of hits with its Wilson interval (Wilson 1927), each to three digits."""
    from scipy.stats import binomtest

    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(_CONFIDENCE, method="wilson")
    return _figure(len(hits), float(hits.mean()), interval.low, interval.high, 3)


def mean_with_interval(errors: NDArray[np.float64], digits: int = 2) -> dict[str, Any]:
    """Return a mean with its normal interval, rounded."""
    from scipy.stats import norm, sem

    mean = float(errors.mean())
    deviation = float(sem(errors))
    # scipy knows no normal distribution of width 0.
    low, high = norm.interval(_CONFIDENCE, loc=mean, scale=deviation) if deviation != 0 else (mean, mean)
    return _figure(len(errors), mean, low, high, digits)


def value_with_interval(value: Callable[[NDArray[np.int64]], NDArray[np.float64]], count: int) -> dict[str, Any]:
    """Return a figure with a percentile interval over draws of its rows with replacement, to four digits.

    Args:
        value: Gives the figure of each line of rows: int64 (draws, count) to float64 (draws,); NaN where the rows of a
            draw give none, and the draw does not count.
        count: Rows, two or more.
    """
    from scipy.stats import bootstrap

    rows = np.arange(count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of draws that give no figure
        draws = bootstrap(
            (rows,),
            lambda drawn, **_: value(np.atleast_2d(drawn)),
            n_resamples=_DRAWS,
            batch=max(_NUMBERS_AT_ONCE // count, 1),
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(_SEED),
        ).bootstrap_distribution
        whole = float(value(rows[None])[0])
    finite = draws[np.isfinite(draws)]
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(finite, [tail, 100 - tail]) if len(finite) else (np.nan, np.nan)
    return _figure(count, whole, low, high, 4)


def constant_share(classes: NDArray[np.int64], digits: int) -> float:
    """Return the share right of the commonest class, rounded."""
    return round(float(np.bincount(classes).max() / len(classes)), digits)


def constant_error(targets: NDArray[np.float64], digits: int) -> float:
    """Return the mean absolute error of the median, rounded."""
    return round(float(np.abs(targets - np.median(targets)).mean()), digits)


def _figure(count: int, value: float, low: float, high: float, digits: int) -> dict[str, Any]:
    return {
        "n": count,
        "value": round(value, digits),
        "interval": [round(float(low), digits), round(float(high), digits)],
    }
