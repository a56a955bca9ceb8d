"""The perceptron learns, stops when it gets no better, and gives the same for its seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fsexport.heads.rating_mlp import layer_scores
from fstraining.fits.mlp import MlpFit, MlpSettings, Rows, fit_mlp

torch = pytest.importorskip("torch", reason="torch is missing; it trains the network")


WIDTH = 16
QUICK = MlpSettings(hidden=(16, 8), learning_rate=3e-3, dropout=0.1, most_epochs=60, patience=60, seed=3)


def drawn(count: int, seed: int, noise: float = 0.0) -> Rows:
    """Draw unit vectors and a function of them that no linear one comes near: centre 5, spread about 2."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, WIDTH))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    targets = 5 + 16 * np.abs(inputs[:, 0]) - 6 * inputs[:, 1] + noise * rng.normal(size=count)
    return Rows(inputs=inputs.astype(np.float32), targets=targets, weights=np.ones(count))


def same(one: MlpFit, other: MlpFit) -> bool:
    return all(
        np.array_equal(part, again)
        for layer, layer_again in zip(one.layers, other.layers, strict=True)
        for part, again in zip(layer, layer_again, strict=True)
    )


def test_it_learns_a_function_that_is_not_linear() -> None:
    train, validation, test = drawn(1200, 0), drawn(300, 1), drawn(500, 2)
    fit = fit_mlp(train, validation, MlpSettings(hidden=(64, 32), dropout=0.0, learning_rate=3e-3, most_epochs=150))
    explained = 1 - np.mean((layer_scores(fit.layers, test.inputs) - test.targets) ** 2) / test.targets.var()
    points = np.column_stack([train.inputs, np.ones(len(train.inputs))])
    linear = np.linalg.lstsq(points, train.targets, rcond=None)[0]
    straight = np.column_stack([test.inputs, np.ones(len(test.inputs))]) @ linear
    assert 1 - np.mean((straight - test.targets) ** 2) / test.targets.var() < 0.6
    assert explained > 0.95
    # Losses are in the units of the targets squared.
    assert fit.validation_losses[fit.best_epoch - 1] == pytest.approx(
        float(np.mean((layer_scores(fit.layers, validation.inputs) - validation.targets) ** 2)), rel=1e-3
    )


def test_one_seed_gives_one_network_whatever_was_drawn_before() -> None:
    train, validation = drawn(101, 0, 1.0), drawn(40, 1, 1.0)
    first = fit_mlp(train, validation, QUICK)
    torch.rand(7)
    np.random.default_rng().random(3)
    again = fit_mlp(train, validation, QUICK)
    assert same(first, again)
    assert (first.train_losses, first.validation_losses) == (again.train_losses, again.validation_losses)
    assert not same(first, fit_mlp(train, validation, replace(QUICK, seed=4)))


def test_predictions_are_those_of_torch() -> None:
    train, validation = drawn(200, 0), drawn(60, 1)
    fit = fit_mlp(train, validation, replace(QUICK, most_epochs=15))
    rows = torch.from_numpy(drawn(50, 2).inputs)
    for position, (weight, bias) in enumerate(fit.layers):
        rows = torch.nn.functional.linear(rows, torch.from_numpy(weight), torch.from_numpy(bias))
        rows = torch.relu(rows) if position < len(fit.layers) - 1 else rows
    assert [weight.shape for weight, _ in fit.layers] == [(16, WIDTH), (8, 16), (1, 8)]
    assert {part.dtype for layer in fit.layers for part in layer} == {np.dtype(np.float32)}
    # The one sums in float32, the other in float64; targets are about 10.
    np.testing.assert_allclose(layer_scores(fit.layers, drawn(50, 2).inputs), rows[:, 0].numpy(), atol=1e-5, rtol=1e-5)


def test_training_stops_when_it_gets_no_better_and_keeps_the_best_epoch() -> None:
    # Few noisy rows and a wide network without brakes: the validation loss rises soon.
    train, validation = drawn(40, 0, 4.0), drawn(200, 1, 4.0)
    settings = MlpSettings(
        hidden=(128,), learning_rate=1e-2, dropout=0.0, weight_decay=0.0, patience=7, most_epochs=200
    )
    fit = fit_mlp(train, validation, settings)
    losses = fit.validation_losses
    assert len(losses) == fit.best_epoch + settings.patience < settings.most_epochs
    assert losses[fit.best_epoch - 1] == min(losses) < losses[-1]
    found = float(np.mean((layer_scores(fit.layers, validation.inputs) - validation.targets) ** 2))
    assert found == pytest.approx(min(losses), rel=1e-4)
    cut = fit_mlp(train, validation, replace(settings, most_epochs=fit.best_epoch))
    assert same(fit, cut)


def test_a_row_that_counts_nothing_changes_nothing_but_a_row_that_counts_does() -> None:
    rng = np.random.default_rng(0)
    rows = drawn(200, 0)
    wrong = np.arange(200) < 60
    targets = np.where(wrong, 40 + rng.normal(size=200), rows.targets)
    settings = replace(QUICK, dropout=0.0, learning_rate=1e-2)
    errors = []
    for weight in (0.0, 1.0):
        weighted = Rows(inputs=rows.inputs, targets=targets, weights=np.where(wrong, weight, 1.0))
        fit = fit_mlp(weighted, drawn(60, 1), settings)
        errors.append(float(np.abs(layer_scores(fit.layers, drawn(200, 2).inputs) - drawn(200, 2).targets).mean()))
    assert errors[0] < 2 < errors[1]


def test_equal_targets_give_that_target() -> None:
    rows = drawn(50, 0)
    constant: NDArray[np.float64] = np.full(50, 3.25)
    fit = fit_mlp(replace(rows, targets=constant), replace(rows, targets=constant), replace(QUICK, most_epochs=40))
    np.testing.assert_allclose(layer_scores(fit.layers, rows.inputs), constant, atol=0.2)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": (0,)},
        {"hidden": (16, -1)},
        {"batch_rows": 0},
        {"most_epochs": 0},
        {"patience": 0},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"learning_rate": 0.0},
        {"weight_decay": -1e-3},
    ],
    ids=str,
)
def test_settings_that_are_wrong_in_one_way_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        MlpSettings(**changes)


def test_progress_is_told_of_every_epoch() -> None:
    told: list[tuple[int, float]] = []
    settings = replace(QUICK, most_epochs=7)
    fit = fit_mlp(drawn(60, 0), drawn(40, 1), settings, lambda epoch, loss: told.append((epoch, loss)))
    assert told == list(enumerate(fit.validation_losses, start=1))
    assert len(told) == 7
