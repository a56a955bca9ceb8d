"""scikit-learn's StandardScaler and LogisticRegression from a pickle, without scikit-learn and without unpickling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.label_rules import check_labels
from fsengine.errors import ExportError
from fsexport.sources.inert_pickle import Record, plain, read_pickle

PIPELINE = "sklearn.pipeline.Pipeline"
SCALER = "sklearn.preprocessing._data.StandardScaler"
CLASSIFIER = "sklearn.linear_model._logistic.LogisticRegression"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledClassifier:
    """A standardization and a logistic regression.

    Attributes:
        mean: float64 (D,), subtracted.
        scale: float64 (D,), divided by.
        weight: float64 (classes, D).
        bias: float64 (classes,).
        labels: Class labels, in the order of the probabilities.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    labels: list[str]

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return float64 (N, classes) for (N, D), as scikit-learn computes them."""
        scores = (features.astype(np.float64) - self.mean) / self.scale @ self.weight.T + self.bias
        scores = scores - scores.max(axis=1, keepdims=True)
        odds = np.exp(scores)
        result: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
        return result


def read_scaled_classifier(path: Path) -> ScaledClassifier:
    """Read a pickled `Pipeline(StandardScaler, LogisticRegression)`, or a LogisticRegression alone.

    Raises:
        ExportError: It is another kind of model, or the file asks for code to be run.
    """
    model = read_pickle(path, frozenset({PIPELINE, SCALER, CLASSIFIER}))
    try:
        stages = [stage for _, stage in model.state["steps"]] if _is(model, PIPELINE) else [model]
        kinds = [stage.name for stage in stages]
        if kinds not in ([SCALER, CLASSIFIER], [CLASSIFIER]):
            raise ValueError(f"its stages are {kinds}")
        weight, bias, labels = _classifier(stages[-1].state)
        mean, scale = _scaler(stages[0].state) if len(stages) > 1 else (None, None)
        mean = np.zeros(weight.shape[1]) if mean is None else mean
        scale = np.ones(weight.shape[1]) if scale is None else scale
        if mean.shape != scale.shape or mean.shape != weight.shape[1:]:
            raise ValueError(f"it scales {mean.shape[0]} numbers and classifies {weight.shape[1]}")
        if not all(np.isfinite(part).all() for part in (mean, scale, weight, bias)) or not (scale > 0).all():
            raise ValueError("it holds numbers that are not finite, or scales that are not above 0")
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as exc:
        raise ExportError(
            f"{path} is no scikit-learn Pipeline of StandardScaler and LogisticRegression, nor a LogisticRegression: "
            f"{exc}"
        ) from exc
    return ScaledClassifier(mean=mean, scale=scale, weight=weight, bias=bias, labels=labels)


def _is(value: Any, name: str) -> bool:
    return isinstance(value, Record) and value.name == name


def _scaler(state: dict[str, Any]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return mean and scale; either is None where it was switched off."""
    scale = _floats(state["scale_"]) if state["with_std"] else None
    mean = _floats(state["mean_"]) if state["with_mean"] else None
    return mean, scale


def _classifier(state: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return weights and biases with a row for each class, and the classes."""
    weight, bias = _floats(state["coef_"]), _floats(state["intercept_"])
    labels = [_label(label) for label in plain(state["classes_"])]
    check_labels(labels)
    if len(labels) > 2 and (state.get("multi_class") == "ovr" or state.get("solver") == "liblinear"):
        raise ValueError("it was fitted one class against the rest; its probabilities are no softmax")
    if len(labels) == 2 and weight.shape[0] == 1:
        # The softmax over (0, log-odds) is the pair of probabilities.
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    if weight.ndim != 2 or not weight.size or weight.shape[0] != len(labels) or bias.shape != (len(labels),):
        raise ValueError(f"it has {len(labels)} classes, weights {weight.shape} and biases {bias.shape}")
    return weight, bias, labels


def _label(value: Any) -> str:
    """Return a class as text: a text, a number, or NumPy's form of one."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"a class is a {type(value).__name__}, expected a text or a number")
    return str(value)


def _floats(value: Any) -> NDArray[np.float64]:
    return np.asarray(plain(value), np.float64)
