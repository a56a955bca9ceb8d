"""What heads are measured by, each figure with its number of faces and a 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstraining.evaluate.figures import mean_with_interval, share_with_interval, value_with_interval

Figure = Mapping[str, Any]
"""`n`, `value`, `interval` (low, high)."""

_BINS = 10
LEAST_CALIBRATION = 100
"""Faces below which the calibration error of ten bins is mostly noise."""
LEAST_GROUP = 10
"""Faces of a group below which a figure says more about chance than about the head."""


def regression_figures(targets: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, Figure]:
    """Return mean absolute error, Pearson's correlation and R^2 of predictions."""
    from scipy.stats import pearsonr
    from sklearn.metrics import r2_score

    def correlation(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(pearsonr(targets[rows], predicted[rows], axis=1).statistic)

    def r_squared(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        # The draws are the columns: each is an output of its own.
        drawn = (targets[rows].T, predicted[rows].T)
        return np.asarray(r2_score(*drawn, multioutput="raw_values", force_finite=False))

    return {
        "mean_absolute_error": mean_with_interval(np.abs(targets - predicted), 4),
        "pearson": value_with_interval(correlation, len(targets)),
        "r_squared": value_with_interval(r_squared, len(targets)),
    }


def class_figures(classes: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, Figure]:
    """Return accuracy, balanced accuracy, log loss and expected calibration error.

    Args:
        classes: int64 (N,).
        probabilities: float64 (N, classes).
    """
    hits = probabilities.argmax(axis=1) == classes
    likelihoods = -np.log(np.maximum(probabilities[np.arange(len(classes)), classes], 1e-12))

    def balanced(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        shares = []
        for label in np.unique(classes):
            of_label = classes[rows] == label
            counts = of_label.sum(axis=1)
            found = (of_label & hits[rows]).sum(axis=1)
            shares.append(np.where(counts > 0, found / np.maximum(counts, 1), np.nan))
        return np.asarray(np.nanmean(shares, axis=0))

    return {
        "accuracy": share_with_interval(hits),
        "balanced_accuracy": value_with_interval(balanced, len(classes)),
        "log_loss": mean_with_interval(likelihoods, 4),
        "calibration_error": value_with_interval(_calibration_errors(classes, probabilities), len(classes)),
    }


def reliability(classes: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    """Return mean confidence, share right and number of faces of each of ten bins of the likeliest class's probability.

    Bins without a face are left out.
    """
    bins, confidence, hits = _binned(classes, probabilities)
    return [
        (float(confidence[bins == number].mean()), float(hits[bins == number].mean()), int((bins == number).sum()))
        for number in np.unique(bins)
    ]


def calibration_error(classes: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the expected calibration error over ten bins (Guo et al. 2017)."""
    return float(_calibration_errors(classes, probabilities)(np.arange(len(classes))[None])[0])


def confusion(classes: NDArray[np.int64], predicted: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return int64 (count, count): rows are what was labelled, columns what was predicted."""
    from sklearn.metrics import confusion_matrix

    return np.asarray(confusion_matrix(classes, predicted, labels=np.arange(count)), np.int64)


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
                found = meaningful(figures(rows))
                # Within a decade of age, how much of the age's variance is explained says nothing of the head.
                within = {f"{attribute}_pearson", f"{attribute}_r_squared"}
                entry.update({key: value for key, value in found.items() if key not in within})
                if len(rows) < LEAST_CALIBRATION:
                    entry = {key: value for key, value in entry.items() if not key.endswith("calibration_error")}
            table.append(entry)
    return table


def meaningful(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """Return the figures that are numbers: a correlation or an R^2 is none where all faces have the same label."""
    return {
        name: figure for name, figure in figures.items() if np.isfinite([figure["value"], *figure["interval"]]).all()
    }


def _binned(
    classes: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return bin, probability of the likeliest class, and whether that class is right, of each face (N,)."""
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    return bins, confidence, probabilities.argmax(axis=1) == classes


def _calibration_errors(
    classes: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Return what gives the expected calibration error of each line of rows, int64 (draws, N) to float64 (draws,)."""
    bins, confidence, hits = _binned(classes, probabilities)

    def errors(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        gaps = [np.where(bins == number, confidence - hits, 0.0)[rows].sum(axis=1) for number in np.unique(bins)]
        return np.asarray(np.abs(gaps).sum(axis=0) / rows.shape[1])

    return errors
