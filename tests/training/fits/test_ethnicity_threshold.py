"""The threshold below which the ethnicity head abstains."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fstraining.fits.forest import best_threshold


def two_classes(*rows: tuple[float, bool]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Make answers of a confidence, right or wrong."""
    confidences = np.array([confidence for confidence, _ in rows])
    return np.column_stack([confidences, 1 - confidences]), np.array([0 if right else 1 for _, right in rows])


def balance(threshold: float, probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> int:
    accepted = probabilities.max(axis=1) >= threshold
    hits = probabilities.argmax(axis=1) == classes
    return int((hits & accepted).sum() - (~hits & accepted).sum())


@pytest.mark.parametrize(
    ("rows", "threshold"),
    [
        ([(0.9, True), (0.7, True), (0.6, True)], 0.0),
        ([(0.9, True), (0.8, True), (0.6, False), (0.55, False)], 0.7),
        ([(0.9, False), (0.8, True), (0.7, True), (0.6, False)], 0.65),
        # As many right as wrong at the end: the most faces among the best.
        ([(0.9, True), (0.6, False), (0.55, True)], 0.0),
        ([(0.6, False), (0.9, True), (0.7, True)], 0.65),
    ],
)
def test_the_threshold_is_where_right_outnumber_wrong_by_the_most(
    rows: list[tuple[float, bool]], threshold: float
) -> None:
    assert best_threshold(*two_classes(*rows)) == pytest.approx(threshold)


@pytest.mark.parametrize("surest", [0.9, 0.999, 1.0])
def test_a_head_that_is_always_wrong_accepts_nothing(surest: float) -> None:
    answers = two_classes((surest, False), (0.8, False), (0.6, False))
    threshold = best_threshold(*answers)
    assert (answers[0].max(axis=1) >= threshold).sum() == (surest == 1.0)
    assert 0 < threshold < 1, "a pack refuses any other"


def test_no_other_threshold_is_better() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        count = int(rng.integers(5, 40))
        # Leaves of trees give few different probabilities: many faces are equally sure.
        confidences = rng.choice(np.linspace(0.51, 0.99, int(rng.integers(2, 40))), count)
        answers = two_classes(*zip(confidences.tolist(), (rng.random(count) < confidences).tolist(), strict=True))
        found = best_threshold(*answers)
        candidates = [0.0, *(np.unique(confidences) + 1e-9)]
        assert balance(found, *answers) == max(balance(candidate, *answers) for candidate in candidates)
