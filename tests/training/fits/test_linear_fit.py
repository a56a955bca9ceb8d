"""The linear fits minimise the losses that they state, to the last digits that the head keeps."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fsexport.artifact.onnx_file import run_graph
from fsexport.heads.linear_age_gender import export_linear_age_gender, predict_age_gender
from fstraining.fits.linear import fit_age_gender
from fstraining.heads.age_gender import MOST_WEIGHT, age_weights

pytest.importorskip("sklearn", reason="scikit-learn is missing; it fits the heads")


def unit_rows(count: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def drawn(count: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
    """Draw embeddings, noisy genders and noisy ages."""
    rng, embeddings = np.random.default_rng(1), unit_rows(count, width)
    years = 40 + 120 * embeddings[:, 0].astype(np.float64) + rng.normal(0, 4, count)
    return embeddings, embeddings[:, 1] + 0.2 * rng.normal(size=count) > 0.05, years


def newton(points: NDArray[np.float64], second: NDArray[np.bool_], ridge: float) -> NDArray[np.float64]:
    """Return weights and bias by iteratively reweighted least squares, the bias without a penalty."""
    points = np.column_stack([points, np.ones(len(points))])
    penalty = np.diag([*np.full(points.shape[1] - 1, ridge), 0.0])
    found = np.zeros(points.shape[1])
    for _ in range(60):
        chance = 1 / (1 + np.exp(-points @ found))
        step = points.T @ (second - chance) - penalty @ found
        found = found + np.linalg.solve(points.T @ (points * (chance * (1 - chance))[:, None]) + penalty, step)
    return found


@pytest.mark.parametrize("ridge", [0.01, 0.3, 5.0, 100.0])
@pytest.mark.parametrize(("count", "width"), [(400, 12), (60, 128)])
def test_the_fits_are_the_minima_of_their_losses(ridge: float, count: int, width: int) -> None:
    embeddings, second, years = drawn(count, width)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one that has not converged says so
        head = fit_age_gender(embeddings, second, years, ridge)
    points = embeddings.astype(np.float64)
    gender = newton(points, second, ridge)
    np.testing.assert_allclose([*head.gender_weight, head.gender_bias], gender, rtol=1e-5, atol=1e-6)
    ones = np.column_stack([points, np.ones(count)])
    penalty = np.diag([*np.full(width, ridge), 0.0])
    age = np.linalg.solve(ones.T @ ones + penalty, ones.T @ years)
    np.testing.assert_allclose([*head.age_weight, head.age_bias], age, rtol=1e-5, atol=1e-5)


def test_each_penalty_is_of_its_own_fit() -> None:
    embeddings, second, years = drawn(200, 12)
    one, other, both = (fit_age_gender(embeddings, second, years, *r) for r in ((0.1,), (10.0,), (0.1, 10.0)))
    assert np.array_equal(both.gender_weight, one.gender_weight)
    assert np.array_equal(both.age_weight, other.age_weight)
    assert not np.array_equal(one.age_weight, other.age_weight)
    assert not np.array_equal(one.gender_weight, other.gender_weight)


@pytest.mark.parametrize("second", [True, False])
def test_faces_of_one_gender_give_that_gender(second: bool) -> None:
    embeddings, _, years = drawn(30, 12)
    head = fit_age_gender(embeddings, np.full(30, second), years, 0.1)
    probability, _ = predict_age_gender(head, unit_rows(50, 12, seed=7))
    np.testing.assert_allclose(probability, 61 / 62 if second else 1 / 62)


def test_the_linear_head_learns_and_its_graph_agrees(tmp_path: Path) -> None:
    embeddings = unit_rows(400, 12)
    years = 40 + 120 * embeddings[:, 0].astype(np.float64)
    male = embeddings[:, 1] > 0
    head = fit_age_gender(embeddings, male, years, ridge=0.01)
    probability, predicted = predict_age_gender(head, embeddings)
    assert ((probability > 0.5) == male).mean() > 0.95
    assert np.abs(predicted - np.clip(years, 0, 100)).mean() < 3
    found = run_graph(export_linear_age_gender(head, tmp_path / "model.onnx"), {"face_embedding": embeddings})
    np.testing.assert_allclose(found["gender_probability"][:, 1], probability, atol=1e-5)
    np.testing.assert_allclose(found["gender_probability"].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found["age_years"][:, 0], predicted, atol=1e-3)


def test_a_face_of_weight_two_counts_as_two_faces_in_the_age() -> None:
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(80, 6))
    embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    second, years = rng.random(80) < 0.5, rng.uniform(0, 80, 80)
    twice = np.arange(80) < 20
    weighted = fit_age_gender(embeddings, second, years, 0.5, age_weights=1.0 + twice)
    doubled = np.concatenate([np.arange(80), np.flatnonzero(twice)])
    expected = fit_age_gender(embeddings[doubled], second[doubled], years[doubled], 0.5)
    np.testing.assert_allclose(weighted.age_weight, expected.age_weight, rtol=1e-4)
    plain = fit_age_gender(embeddings, second, years, 0.5)
    assert np.abs(weighted.age_weight - plain.age_weight).max() > 0.01
    np.testing.assert_array_equal(weighted.gender_weight, plain.gender_weight)


def test_every_age_bucket_counts_alike_up_to_a_limit() -> None:
    years = np.array([25.0] * 60 + [76.0] * 20 + [1.0] * 40)
    weights = age_weights(years)
    assert {bucket: weights[years == bucket].sum() for bucket in (25, 76, 1)} == pytest.approx(
        {25: 40.0, 76: 40.0, 1: 40.0}
    )
    assert age_weights(np.array([25.0] * 999 + [76.0]))[-1] == MOST_WEIGHT
