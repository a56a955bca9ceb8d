"""Figures are what they are called, have intervals around them, and none is given where it would mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fsdata.labels.record import LabelledPhoto
from fstraining.data.groups import age_bucket, groups_of
from fstraining.evaluate.metrics import (
    LEAST_GROUP,
    calibration_error,
    class_figures,
    confusion,
    group_table,
    regression_figures,
    reliability,
)


def drawn_answers(count: int, sharpness: float = 1.0, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw probabilities of 4 classes and classes by them; a sharpness above 1 gives them as surer than they are."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.full(4, 0.7), count)
    classes = (rng.random(count)[:, None] > true.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    stated = true**sharpness
    return classes, stated / stated.sum(axis=1, keepdims=True)


def test_calibration_error_tells_the_calibrated_from_the_overconfident() -> None:
    assert calibration_error(*drawn_answers(20_000)) < 0.015
    assert calibration_error(*drawn_answers(20_000, sharpness=4)) > 0.1
    assert calibration_error(*drawn_answers(20_000, sharpness=0.3)) > 0.1
    # All stated at 0.75 and half of them right.
    probabilities = np.tile([0.75, 0.25], (40, 1))
    assert calibration_error(np.arange(40) % 2, probabilities) == pytest.approx(0.25)
    assert calibration_error(np.zeros(40, np.int64), np.tile([1.0, 0.0], (40, 1))) == 0


def test_reliability_counts_every_face_once() -> None:
    classes, probabilities = drawn_answers(3000)
    rows = reliability(classes, probabilities)
    assert sum(count for _, _, count in rows) == 3000
    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == classes
    assert sum(mean * count for mean, _, count in rows) == pytest.approx(confidence.sum())
    assert sum(share * count for _, share, count in rows) == pytest.approx(hits.sum())
    assert [mean for mean, _, _ in rows] == sorted(mean for mean, _, _ in rows)
    # A probability of 1 is in the last bin, not beyond it.
    assert reliability(np.array([0, 0]), np.array([[1.0, 0.0], [0.95, 0.05]])) == [(0.975, 1.0, 2)]


def test_confusion_has_labels_in_rows_and_predictions_in_columns() -> None:
    matrix = confusion(np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 2]), 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [2, 0, 1, 0], [0, 0, 0, 0]]


def assert_inside(figures: Mapping[str, Mapping[str, Any]], count: int) -> None:
    for name, figure in figures.items():
        low, high = figure["interval"]
        assert low <= figure["value"] <= high, name
        assert low < high, name
        assert figure["n"] == count


def test_figures_of_numbers_lie_in_their_intervals_and_are_right() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(50, 10, 400)
    predicted = targets + rng.normal(0, 5, 400)
    figures = regression_figures(targets, predicted)
    assert_inside(figures, 400)
    assert figures["mean_absolute_error"]["value"] == pytest.approx(np.abs(targets - predicted).mean(), abs=1e-4)
    assert figures["pearson"]["value"] == pytest.approx(np.corrcoef(targets, predicted)[0, 1], abs=1e-4)
    r_squared = 1 - ((targets - predicted) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()
    assert figures["r_squared"]["value"] == pytest.approx(r_squared, abs=1e-4)
    assert regression_figures(targets, predicted) == figures


def test_figures_of_classes_lie_in_their_intervals_and_are_right() -> None:
    classes, probabilities = drawn_answers(500)
    figures = class_figures(classes, probabilities)
    # Errors of calibration are above 0 by chance alone, and draws with replacement add to them: no interval around it.
    calibration = figures["calibration_error"]
    assert_inside({name: figure for name, figure in figures.items() if name != "calibration_error"}, 500)
    assert calibration["value"] == pytest.approx(calibration_error(classes, probabilities), abs=1e-4)
    hits = probabilities.argmax(axis=1) == classes
    assert figures["accuracy"]["value"] == pytest.approx(hits.mean(), abs=1e-3)
    balanced = np.mean([hits[classes == label].mean() for label in range(4)])
    assert figures["balanced_accuracy"]["value"] == pytest.approx(balanced, abs=1e-4)
    log_loss = -np.log(probabilities[np.arange(500), classes]).mean()
    assert figures["log_loss"]["value"] == pytest.approx(log_loss, abs=1e-4)
    # A class that was ruled out and comes true is a large loss and not an infinite one.
    ruled_out = class_figures(np.array([0, 1] * 10), np.tile([1.0, 0.0], (20, 1)))
    assert np.isfinite(ruled_out["log_loss"]["value"])


def test_small_groups_have_no_figures() -> None:
    names = ["a"] * LEAST_GROUP + ["b"] * (LEAST_GROUP - 1) + [None] * 20
    seen: list[list[int]] = []

    def figures(rows: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
        seen.append(rows.tolist())
        return {"share": {"n": len(rows), "value": 0.5, "interval": [0.4, 0.6]}}

    table = group_table({"gender": names, "age": [None] * len(names)}, figures)
    assert [(row["attribute"], row["group"], row["n"], "share" in row) for row in table] == [
        ("gender", "a", LEAST_GROUP, True),
        ("gender", "b", LEAST_GROUP - 1, False),
    ]
    assert seen == [list(range(LEAST_GROUP))]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_figures_that_are_not_finite_are_left_out_of_groups(bad: float) -> None:
    def figures(rows: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
        return {
            "error": {"n": len(rows), "value": 0.5, "interval": [0.4, 0.6]},
            "no_value": {"n": len(rows), "value": bad, "interval": [0.4, 0.6]},
            "no_end": {"n": len(rows), "value": 0.5, "interval": [0.4, bad]},
        }

    (row,) = group_table({"gender": ["a"] * LEAST_GROUP}, figures)
    assert set(row) == {"attribute", "group", "n", "error"}


def test_a_group_of_equal_ratings_has_an_error_and_no_correlation() -> None:
    rng = np.random.default_rng(0)
    targets, predicted = np.full(20, 3.0), rng.normal(3, 1, 20)
    (row,) = group_table({"gender": ["a"] * 20}, lambda rows: regression_figures(targets[rows], predicted[rows]))
    assert "mean_absolute_error" in row
    assert "pearson" not in row
    assert "r_squared" not in row


@pytest.mark.parametrize(
    ("years", "bucket"),
    [(0, "00-02"), (2.9, "00-02"), (3, "03-09"), (19.5, "10-19"), (20, "20-29"), (70, "70+"), (101, "70+")],
)
def test_ages_fall_into_fairfaces_buckets(years: float, bucket: str) -> None:
    assert age_bucket(years) == bucket


def test_groups_are_those_that_the_data_know() -> None:
    photo = Path("/photos/a.jpg")
    records = [
        LabelledPhoto(path=photo, dataset="d", gender="female"),
        LabelledPhoto(path=photo, dataset="d", age_low_years=30, age_high_years=40),
    ]
    assert groups_of(records) == {"gender": ["female", None], "age": [None, "30-39"]}


def test_figures_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    classes, probabilities = drawn_answers(300)
    figures = class_figures(classes, probabilities)
    predicted = probabilities.argmax(axis=1)
    assert figures["balanced_accuracy"]["value"] == round(sklearn.balanced_accuracy_score(classes, predicted), 4)
    assert figures["log_loss"]["value"] == round(sklearn.log_loss(classes, probabilities), 4)
    # A class without a face counts for nothing, one of one face for as much as any other.
    few = np.array([0] * 20 + [2])
    balanced = class_figures(few, np.tile([0.6, 0.3, 0.1], (21, 1)))["balanced_accuracy"]
    assert balanced["value"] == 0.5
    assert balanced["interval"] == [0.5, 1.0]
