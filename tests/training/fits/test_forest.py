"""Forests are deterministic, stop at their best round, and get the temperature with the largest likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fsengine.errors import MissingDependencyError
from fsexport.heads.trees import import_lightgbm
from fstraining.fits.forest import ClassRows, ForestSettings, best_temperature, fit_classifier, grow_forest

try:
    import_lightgbm()
except MissingDependencyError as error:
    pytest.skip(str(error), allow_module_level=True)
pytest.importorskip("scipy", reason="scipy is missing; it finds the temperature")

CLASSES = 5


def drawn(count: int, seed: int, noise: float = 0.3) -> ClassRows:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 10)).astype(np.float32)
    classes = (features[:, :CLASSES] + rng.normal(size=(count, CLASSES)) * noise).argmax(axis=1)
    return ClassRows(features=features, classes=classes)


def test_the_same_seed_gives_the_same_trees() -> None:
    rows = drawn(300, 3)
    models = [
        fit_classifier(rows.features, rows.classes, CLASSES, rounds=5, leaves=4, seed=9).model_to_string()
        for _ in range(2)
    ]
    assert models[0] == models[1]


def test_growing_stops_when_it_gets_no_better_and_keeps_the_best_round() -> None:
    settings = ForestSettings(learning_rate=0.3, patience=5, most_rounds=200)
    fit = grow_forest(drawn(200, 3, 1.0), drawn(100, 4, 1.0), CLASSES, settings)
    losses = fit.losses["validation"]
    assert len(losses) == len(fit.losses["train"]) == fit.best_round + settings.patience < settings.most_rounds
    assert losses[fit.best_round - 1] == min(losses) < losses[-1]
    assert fit.booster.num_trees() == fit.best_round * CLASSES
    held = drawn(100, 4, 1.0)
    likelihoods = fit.booster.predict(held.features)[np.arange(100), held.classes]
    assert -np.log(likelihoods).mean() == pytest.approx(min(losses))


def test_class_weights_help_the_rare_class() -> None:
    rows, held = drawn(600, 5, 1.0), drawn(400, 6, 1.0)
    kept = (rows.classes != 0) | (np.arange(600) % 8 == 0)
    rare = ClassRows(features=rows.features[kept], classes=rows.classes[kept])
    answers = [
        (grow_forest(rare, held, CLASSES, ForestSettings(class_weight_power=p)).booster.predict(held.features))
        for p in (0.0, 1.0)
    ]
    assert answers[1][:, 0].mean() > 1.3 * answers[0][:, 0].mean()


def test_the_best_temperature_cools_sure_mistakes() -> None:
    scores = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    assert best_temperature(scores, np.array([0, 1, 1])) > 5
    assert best_temperature(scores * 0.1, np.array([0, 0, 1])) < 0.5


def loss(scores: NDArray[np.float64], classes: NDArray[np.int64], temperature: float) -> float:
    exponents = np.exp(scores / temperature)
    return -float(np.log(exponents[np.arange(len(classes)), classes] / exponents.sum(axis=1)).mean())


@pytest.mark.parametrize("true", [0.3, 0.8, 1.0, 1.7, 4.0, 7.0])
def test_no_other_temperature_is_likelier_and_a_known_one_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    calibrated = rng.normal(0, 1.5, (20_000, 4))
    chances = np.exp(calibrated) / np.exp(calibrated).sum(axis=1, keepdims=True)
    classes = (rng.random(20_000)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    scores = calibrated * true
    found = best_temperature(scores, classes)
    assert found == pytest.approx(true, rel=0.03)
    least = min(loss(scores, classes, temperature) for temperature in np.geomspace(0.25, 8.0, 201))
    assert loss(scores, classes, found) <= least + 1e-9
