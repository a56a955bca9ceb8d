"""What heads are measured by, each figure with its number of faces and a 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstraining.evaluate.figures import mean_with_interval, share_with_interval

Figure = Mapping[str, Any]
"""`n`, `value`, `interval` (low, high)."""

_DRAWS = 1000
_SEED = 20260101
LEAST_CALIBRATION = 100
"""Faces below which the calibration error of ten bins is mostly noise."""
LEAST_GROUP = 10
"""Faces of a group below which a figure says more about chance than about the head."""


def regression_figures(targets: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, Figure]:
    """Return mean absolute error, Pearson's correlation and R^2 of predictions."""
    errors = np.abs(targets - predicted)

    def correlation(rows: NDArray[np.int64]) -> float:
        varies = np.ptp(targets[rows]) > 0 and np.ptp(predicted[rows]) > 0
        return float(np.corrcoef(targets[rows], predicted[rows])[0, 1]) if varies else float("nan")

    def r_squared(rows: NDArray[np.int64]) -> float:
        residual = ((targets[rows] - predicted[rows]) ** 2).sum()
        total = ((targets[rows] - targets[rows].mean()) ** 2).sum()
        return float(1 - residual / total) if total > 0 else float("nan")

    return {
        "mean_absolute_error": mean_with_interval(errors, 4),
        "pearson": _bootstrapped(correlation, len(targets)),
        "r_squared": _bootstrapped(r_squared, len(targets)),
    }


def class_figures(classes: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, Figure]:
    """Return accuracy, balanced accuracy, log loss and expected calibration error.

    Args:
        classes: int64 (N,).
        probabilities: float64 (N, classes).
    """
    predicted = probabilities.argmax(axis=1)
    likelihoods = -np.log(np.maximum(probabilities[np.arange(len(classes)), classes], 1e-12))

    def balanced(rows: NDArray[np.int64]) -> float:
        hits = predicted[rows] == classes[rows]
        return float(np.mean([hits[classes[rows] == label].mean() for label in np.unique(classes[rows])]))

    return {
        "accuracy": share_with_interval(predicted == classes),
        "balanced_accuracy": _bootstrapped(balanced, len(classes)),
        "log_loss": mean_with_interval(likelihoods, 4),
        "calibration_error": _bootstrapped(
            lambda rows: calibration_error(classes[rows], probabilities[rows]), len(classes)
        ),
    }


def reliability(
    classes: NDArray[np.int64], probabilities: NDArray[np.float64], bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return mean confidence, share right and number of faces of each bin of the likeliest class's probability."""
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    numbers = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return [
        (float(confidence[numbers == b].mean()), float(hits[numbers == b].mean()), int((numbers == b).sum()))
        for b in range(bins)
        if (numbers == b).any()
    ]


def calibration_error(classes: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the expected calibration error over ten bins (Guo et al. 2017)."""
    rows = reliability(classes, probabilities)
    return sum(count * abs(confidence - share) for confidence, share, count in rows) / max(len(classes), 1)


def confusion(classes: NDArray[np.int64], predicted: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return int64 (count, count): rows are what was labelled, columns what was predicted."""
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (classes, predicted), 1)
    return matrix


def group_table(
    groups: Mapping[str, Sequence[str | None]], figures: Callable[[NDArray[np.int64]], Mapping[str, Figure]]
) -> list[dict[str, Any]]:
    """Return every figure for every group of faces.

    Args:
        groups: Attribute (`gender`, `age`, `ethnicity`) to the group of each face; None where it is not known.
        figures: Gives the figures of some rows.

    Returns:
        A row a group: `attribute`, `group`, `n`, and its figures, which are left out below `LEAST_GROUP` faces.
    """
    table = []
    for attribute, names in groups.items():
        for name in sorted({name for name in names if name is not None}):
            rows = np.array([row for row, found in enumerate(names) if found == name], np.int64)
            entry: dict[str, Any] = {"attribute": attribute, "group": name, "n": len(rows)}
            if len(rows) >= LEAST_GROUP:
                entry.update(meaningful(figures(rows)))
                if len(rows) < LEAST_CALIBRATION:
                    entry = {key: value for key, value in entry.items() if not key.endswith("calibration_error")}
            table.append(entry)
    return table


def meaningful(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """Return the figures that are numbers: a correlation or an R^2 is none where all faces have the same label."""
    return {
        name: figure for name, figure in figures.items() if np.isfinite([figure["value"], *figure["interval"]]).all()
    }


def _bootstrapped(value: Callable[[NDArray[np.int64]], float], count: int) -> Figure:
    """Return a figure with a percentile interval over draws of its rows with replacement."""
    rng = np.random.default_rng(_SEED)
    draws = [value(rng.integers(0, count, count)) for _ in range(_DRAWS)]
    finite = [draw for draw in draws if np.isfinite(draw)]
    low, high = np.percentile(finite, [2.5, 97.5]) if finite else (float("nan"), float("nan"))
    return {
        "n": count,
        "value": round(value(np.arange(count)), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
    }
