"""Intervals for new faces from cross-validated residuals, without assumptions on how errors are distributed.

Conformal prediction (Vovk et al. 2005; Lei et al. 2018) with the residuals of cross-validation in place of a split of
its own (Barber et al. 2021, "Predictive Inference with the Jackknife+"): every face counts, and the coverage is nearly
the nominal one, not guaranteed to be. Reports measure it on faces kept out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9


def half_width(residuals: NDArray[np.float64], coverage: float = COVERAGE) -> float:
    """Return the half width whose interval covers a new face's target with about a probability.

    Args:
        residuals: float64 (N,), target minus prediction on rows that the model was not fitted on.
        coverage: The probability, 0 to 1.

    Raises:
        ValueError: There are too few residuals for it.
    """
    rank = math.ceil((len(residuals) + 1) * coverage)
    if not 0 < coverage < 1 or rank > len(residuals):
        raise ValueError(f"{len(residuals)} residuals are too few for a coverage of {coverage}")
    return float(np.sort(np.abs(residuals))[rank - 1])


def covered(ends: NDArray[np.float32], targets: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return bool (N,): whether each interval (N, 2), low and high, holds its target."""
    return (ends[:, 0] <= targets) & (targets <= ends[:, 1])


def label_weights(stds: NDArray[np.float64], counts: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """Return how much each mean rating counts: the inverse of its variance, mean 1.

    A mean of n raters who disagree by s has the variance s^2 / n beside what the faces themselves leave
    unexplained; the latter is taken as half of the spread of the means.

    Args:
        stds: float64 (N,), standard deviation between the raters of a photo; NaN where it is not known, as of one
            rater: that of the others is taken.
        counts: float64 (N,), its raters; NaN where not known.
        spread: Standard deviation of the mean ratings over photos.
    """
    known = np.isfinite(stds)
    usual = float(np.sqrt(np.mean(stds[known] ** 2))) if known.any() else 0.0  # for photos of a single rater
    noise = np.where(known, stds, usual) ** 2 / counts
    noise = np.where(np.isfinite(noise), noise, np.nanmean(noise) if np.isfinite(noise).any() else 0.0)
    weights = 1.0 / (noise + max(spread**2 / 2, 1e-12))
    return np.asarray(weights / weights.mean())
