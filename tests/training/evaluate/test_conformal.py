"""Conformal intervals hold what they promise; ratings count by what is known of their raters."""

from __future__ import annotations

import numpy as np
import pytest

from fstraining.evaluate.conformal import COVERAGE, half_width, label_weights

DRAWS = 4000


@pytest.mark.parametrize("count", [12, 60, 199])
@pytest.mark.parametrize("coverage", [0.8, COVERAGE])
@pytest.mark.parametrize("shape", ["normal", "cauchy", "skewed"])
def test_intervals_cover_new_faces_as_often_as_they_say(count: int, coverage: float, shape: str) -> None:
    rng = np.random.default_rng(count)
    draw = {"normal": rng.standard_normal, "cauchy": rng.standard_cauchy, "skewed": rng.standard_exponential}[shape]
    covered = [abs(float(draw(1)[0])) <= half_width(draw(count), coverage) for _ in range(DRAWS)]
    # The theorem: at least the coverage, at most 1 / (count + 1) above it; four standard errors for the draws.
    slack = 4 * np.sqrt(coverage * (1 - coverage) / DRAWS)
    assert coverage - slack <= np.mean(covered) <= coverage + 1 / (count + 1) + slack


def test_the_half_width_is_an_order_statistic_of_sizes() -> None:
    residuals = np.array([-9.0, 1, -2, 3, -4, 5, 6, -7, 8])  # ceil(10 * 0.8) = 8th of 9, ceil(10 * 0.9) = 9th
    assert half_width(residuals, 0.8) == 8
    assert half_width(residuals, 0.9) == 9
    assert half_width(-residuals[::-1], 0.8) == 8


@pytest.mark.parametrize(("count", "coverage"), [(8, 0.9), (0, 0.9), (18, 0.95), (50, 0.0), (50, 1.0), (50, -0.5)])
def test_too_few_residuals_or_no_probability_are_refused(count: int, coverage: float) -> None:
    with pytest.raises(ValueError, match=f"{count} residuals are too few"):
        half_width(np.arange(count, dtype=np.float64), coverage)


def test_ratings_by_few_or_disagreeing_raters_count_less() -> None:
    #                 sure  noisy few   noisiest
    stds = np.array([0.5, 2.0, 0.5, 2.0])
    counts = np.array([20.0, 20.0, 2.0, 2.0])
    weights = label_weights(stds, counts, spread=0.5)
    assert weights[0] > weights[1] > weights[3]
    assert weights[0] > weights[2] > weights[3]
    assert weights.mean() == pytest.approx(1)
    # Inverse variances: raters' and half of the spread of the means.
    expected = 1 / (stds**2 / counts + 0.5**2 / 2)
    np.testing.assert_allclose(weights, expected / expected.mean())


def test_what_is_not_known_of_raters_counts_as_the_average_or_as_nothing() -> None:
    stds = np.array([1.0, np.nan, 3.0, 1.0])
    counts = np.array([4.0, 4.0, 4.0, np.nan])
    weights = label_weights(stds, counts, spread=1.0)
    assert np.isfinite(weights).all()
    assert weights.mean() == pytest.approx(1)
    assert weights[0] > weights[1] > weights[2]
    noise = np.array([1 / 4, (11 / 3) / 4, 9 / 4])  # who is not known to disagree does so as the others do
    noise = np.append(noise, noise.mean())
    expected = 1 / (noise + 1 / 2)
    np.testing.assert_allclose(weights, expected / expected.mean())
    np.testing.assert_allclose(label_weights(np.full(5, np.nan), np.full(5, np.nan), 1.0), 1)
    # One rater's rating counts less than the mean of many like them.
    alone, many = label_weights(np.array([np.nan, 1.0]), np.array([1.0, 10.0]), 1.0)
    assert alone < many
    # Raters of one mind, of faces of one mean, are no division by 0.
    np.testing.assert_allclose(label_weights(np.zeros(3), np.full(3, 5.0), 0.0), 1)
