"""LightGBM classifiers: settings, growing to the best round, calibration, and the threshold of abstaining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsexport.heads.trees import import_lightgbm

if TYPE_CHECKING:
    from lightgbm import Booster

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.25, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestSettings:
    """How a forest is grown; see LightGBM's parameters of the same names.

    Attributes:
        class_weight_power: 0 weighs faces alike, 1 weighs classes alike.
        most_rounds: Bound; growing stops when the validation loss gets no better.
        patience: Rounds without a better one.
    """

    num_leaves: int = 7
    learning_rate: float = 0.05
    feature_fraction: float = 0.3
    bagging_fraction: float = 0.8
    min_data_in_leaf: int = 8
    lambda_l2: float = 5.0
    class_weight_power: float = 0.5
    most_rounds: int = 400
    patience: int = 30
    seed: int = 0

    def parameters(self, num_classes: int) -> dict[str, Any]:
        """Return LightGBM's parameters: deterministic for the seed, one thread."""
        return {
            "objective": "multiclass",
            "num_class": num_classes,
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "min_data_in_leaf": self.min_data_in_leaf,
            "lambda_l2": self.lambda_l2,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRows:
    """Inputs with classes.

    Attributes:
        features: float32 (N, D).
        classes: int64 (N,), 0 to the number of classes - 1.
    """

    features: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestFit:
    """A grown forest.

    Attributes:
        booster: Up to the best round.
        losses: `train` and `validation` to the log loss of each round.
    """

    booster: Booster
    losses: dict[str, list[float]]

    @property
    def best_round(self) -> int:
        """Return the round, from 1, up to which the forest goes."""
        return int(np.argmin(self.losses["validation"])) + 1


def grow_forest(train: ClassRows, validation: ClassRows, num_classes: int, settings: ForestSettings) -> ForestFit:
    """Grow a forest until the validation loss gets no better; the rounds after the best one are cut off.

    Args:
        train: Rows to fit.
        validation: Rows that decide when to stop.
        num_classes: Classes.
        settings: How.

    Raises:
        MissingDependencyError: LightGBM or libgomp is not installed.
    """
    import_lightgbm()
    import lightgbm

    counts = np.maximum(np.bincount(train.classes, minlength=num_classes), 1)
    weights = (len(train.classes) / (num_classes * counts)) ** settings.class_weight_power
    data = lightgbm.Dataset(train.features, train.classes, weight=weights[train.classes])
    held = lightgbm.Dataset(validation.features, validation.classes, reference=data)
    losses: dict[str, Any] = {}
    booster = lightgbm.train(
        settings.parameters(num_classes),
        data,
        settings.most_rounds,
        valid_sets=[data, held],
        valid_names=["train", "validation"],
        callbacks=[
            lightgbm.early_stopping(settings.patience, verbose=False),
            lightgbm.record_evaluation(losses),
        ],
    )
    best = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
    return ForestFit(booster=best, losses={name: list(values["multi_logloss"]) for name, values in losses.items()})


def fit_classifier(
    features: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int, *, rounds: int, leaves: int, seed: int
) -> Booster:
    """Grow a small forest of so many rounds, deterministic for its seed.

    Args:
        features: float32 (N, D).
        labels: int64 (N,), 0 to `num_classes` - 1.
        num_classes: Classes.
        rounds: Boosting rounds; each grows one tree a class.
        leaves: Leaves of a tree.
        seed: Of everything random.

    Raises:
        MissingDependencyError: LightGBM or libgomp is not installed.
    """
    import_lightgbm()
    import lightgbm

    settings = ForestSettings(num_leaves=leaves, seed=seed)
    return lightgbm.train(settings.parameters(num_classes), lightgbm.Dataset(features, labels), rounds)


def best_temperature(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the temperature whose softmax gives labels the largest likelihood (Guo et al. 2017), 0.25 to 8.

    Args:
        scores: float64 (N, classes), raw scores.
        labels: int64 (N,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        likelihoods = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -float(likelihoods[np.arange(len(labels)), labels].mean())

    # The loss has one minimum: it is convex in the inverse of the temperature.
    bounds = (np.log(LEAST_TEMPERATURE), np.log(MOST_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def best_threshold(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Return the threshold at which right answers outnumber wrong ones by the most; abstaining counts for neither.

    A wrong answer costs what a right one gains; with calibrated probabilities the threshold lies near one half.

    Args:
        probabilities: float64 (N, classes), of faces that the head was not fitted on.
        classes: int64 (N,).

    Returns:
        0 to 1; half-way to the next face that is less sure.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    gains = np.where(probabilities.argmax(axis=1) == classes, 1, -1)[order]
    totals = np.concatenate([[0], np.cumsum(gains)])
    ordered = confidence[order]
    # No threshold parts faces that are equally sure.
    cuts = np.flatnonzero(np.concatenate([[True], ordered[:-1] > ordered[1:], [True]]))
    accepted = int(cuts[totals[cuts] == totals[cuts].max()][-1])  # the most faces among the best thresholds
    if accepted == len(ordered):
        return 0.0
    return (
        float((ordered[accepted - 1] + ordered[accepted]) / 2) if accepted else min(float(ordered[0] + 1) / 2, 1 - 1e-6)
    )
