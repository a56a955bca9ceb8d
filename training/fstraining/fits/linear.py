"""Age and gender fitted on the embedding: a ridge and a logistic regression."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fsexport.heads.linear_age_gender import LinearAgeGender

_CONVERGED = 1e-10
"""Largest slope of the mean loss at which the logistic fit stops."""
_MOST_STEPS = 100


def fit_age_gender(
    embeddings: NDArray[np.float32],
    is_second_gender: NDArray[np.bool_],
    years: NDArray[np.float64],
    ridge: float,
    age_ridge: float | None = None,
    age_weights: NDArray[np.float64] | None = None,
) -> LinearAgeGender:
    """Fit a logistic regression and a linear one, both with an L2 penalty on their weights.

    The losses are `sum(log loss) + ridge / 2 * |b|^2` and `sum(w * (years - prediction)^2) + ridge * |b|^2`, with
    coefficients b and weights w of the faces.

    Args:
        embeddings: float32 (N, D), L2-normalized.
        is_second_gender: bool (N,).
        years: float64 (N,).
        ridge: Weight of the penalty.
        age_ridge: That of the age, where it is another.
        age_weights: float64 (N,), how much each face counts in the fit of the age; None for all alike.
    """
    from sklearn.linear_model import Ridge

    points = embeddings.astype(np.float64)
    gender_weight, gender_bias = _log_odds(points, is_second_gender, ridge)
    age = Ridge(alpha=ridge if age_ridge is None else age_ridge, solver="cholesky").fit(points, years, age_weights)
    return LinearAgeGender(
        gender_weight=gender_weight.astype(np.float32),
        gender_bias=gender_bias,
        age_weight=age.coef_.astype(np.float32),
        age_bias=float(age.intercept_),
    )


def _log_odds(
    points: NDArray[np.float64], is_second: NDArray[np.bool_], ridge: float
) -> tuple[NDArray[np.float64], float]:
    """Return weights (D,) and bias of the log-odds of the second gender."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(is_second)) < 2:
        # A small part of the faces may hold one gender alone: the answer is that one, as sure as half a miss allows.
        odds = math.log(2 * len(is_second) + 1)
        return np.zeros(points.shape[1]), odds if is_second[0] else -odds
    fit = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=_CONVERGED, max_iter=_MOST_STEPS)
    fit.fit(points, is_second)
    return np.asarray(fit.coef_[0]), float(fit.intercept_[0])
