"""Figures with intervals: the libraries' definitions, the same draws however many rows fit at once."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from fstraining.evaluate import figures
from fstraining.evaluate.figures import mean_with_interval, share_with_interval, value_with_interval

pytest.importorskip("scipy", reason="scipy is missing; it makes the intervals")

Z = 1.959964


@pytest.mark.parametrize(("hits", "count"), [(0, 12), (1, 2), (8, 10), (97, 100), (50, 50), (3000, 9000)])
def test_shares_have_wilson_intervals(hits: int, count: int) -> None:
    share = hits / count
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
    found = share_with_interval(np.arange(count) < hits)
    assert (found["n"], found["value"]) == (count, round(share, 3))
    assert found["interval"] == pytest.approx([centre - half, centre + half], abs=6e-4)


def test_means_have_normal_intervals() -> None:
    errors = np.random.default_rng(0).exponential(3.0, 60)
    half = Z * errors.std(ddof=1) / math.sqrt(60)
    found = mean_with_interval(errors, 6)
    assert found["value"] == pytest.approx(errors.mean(), abs=1e-6)
    assert found["interval"] == pytest.approx([errors.mean() - half, errors.mean() + half], abs=2e-6)
    assert mean_with_interval(np.full(5, 2.0)) == {"n": 5, "value": 2.0, "interval": [2.0, 2.0]}


def test_intervals_of_draws_are_percentiles_of_the_same_draws_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0).normal(10, 2, 80)

    def spread(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(numbers[rows].std(axis=1))

    found = value_with_interval(spread, 80)
    rng = np.random.default_rng(20260101)
    draws = [numbers[rng.integers(0, 80, 80)].std() for _ in range(1000)]
    assert found["value"] == round(float(numbers.std()), 4)
    assert found["interval"] == [round(float(end), 4) for end in np.percentile(draws, [2.5, 97.5])]
    for most in (1, 80 * 7, 80 * 999):
        monkeypatch.setattr(figures, "_NUMBERS_AT_ONCE", most)
        assert value_with_interval(spread, 80) == found


def test_draws_that_give_no_figure_do_not_count() -> None:
    def odd(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(rows.max(axis=1) == 19, rows.mean(axis=1), np.nan)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = value_with_interval(odd, 20)
        low, high = found["interval"]
        assert 7 < low < 9.5 == found["value"] < high < 13
        none = value_with_interval(lambda rows: np.full(len(rows), np.nan), 20)
    assert np.isnan([none["value"], *none["interval"]]).all()
