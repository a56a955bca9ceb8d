"""LightGBM classifiers to Treelite checkpoints, which both FIL and the embedded server load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.known_labels import FAIRFACE_ETHNICITIES
from fsengine.errors import ExportError, MissingDependencyError
from fsengine.files.atomic import temporary_file

if TYPE_CHECKING:
    from lightgbm import Booster

FAIRFACE_CLASSES = list(FAIRFACE_ETHNICITIES)
"""The seven classes of FairFace, in the order of its paper."""


def import_lightgbm() -> None:
    """Import LightGBM, whose wheel asks the system for libgomp.

    Raises:
        MissingDependencyError: It is not installed, or libgomp is not.
    """
    try:
        import lightgbm  # noqa: F401
    except ImportError as exc:
        raise MissingDependencyError("training trees needs LightGBM: pip install 'facestats[export]'") from exc
    except OSError as exc:
        raise MissingDependencyError(f"LightGBM needs libgomp.so.1: apt install libgomp1 ({exc})") from exc


def fit_classifier(
    features: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int, *, rounds: int, leaves: int, seed: int
) -> Booster:
    """Fit a small multiclass LightGBM, deterministic for its seed.

    Args:
        features: float32 (N, D).
        labels: int64 (N,), 0 to `num_classes` - 1.
        num_classes: Classes.
        rounds: Boosting rounds; each grows one tree a class.
        leaves: Leaves of a tree.
        seed: Of everything random.
    """
    import_lightgbm()
    import lightgbm

    settings = {
        "objective": "multiclass",
        "num_class": num_classes,
        "num_leaves": leaves,
        "learning_rate": 0.05,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "min_data_in_leaf": 8,
        "lambda_l2": 5.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(features, labels), rounds)


def fold_temperature(booster: Booster, temperature: float) -> None:
    """Divide every leaf by a temperature, in place.

    The softmax of the raw scores is then that of the scores over the temperature, so that FIL, which serves
    the raw softmax, serves calibrated probabilities.

    Raises:
        ExportError: The temperature is not above 0.
    """
    if not temperature > 0:
        raise ExportError(f"temperature is {temperature}, expected a number above 0")
    for tree in booster.dump_model()["tree_info"]:
        for leaf in range(tree["num_leaves"]):
            index = tree["tree_index"]
            booster.set_leaf_output(index, leaf, booster.get_leaf_output(index, leaf) / temperature)


def best_temperature(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the temperature whose softmax gives labels the largest likelihood (Guo et al. 2017), 0.25 to 8.

    Args:
        scores: float64 (N, classes), raw scores.
        labels: int64 (N,).
    """

    def loss(temperature: float) -> float:
        scaled = scores / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        log_likelihood = scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(axis=1))
        return -float(log_likelihood.mean())

    return float(min(np.geomspace(0.25, 8.0, 201), key=loss))


def export_trees(booster: Booster, out_path: Path) -> Path:
    """Write a classifier as a Treelite checkpoint.

    Raises:
        ExportError: Treelite cannot read it.
    """
    import treelite

    try:
        model = treelite.frontend.from_lightgbm(booster)
        with temporary_file(out_path) as temporary:
            model.serialize(str(temporary))
    except treelite.TreeliteError as exc:
        raise ExportError(f"Treelite cannot convert the LightGBM model: {exc}") from exc
    return out_path


def checkpoint_probabilities(path: Path, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 (N, classes) of a Treelite checkpoint, evaluated by GTIL."""
    import treelite

    model = treelite.Model.deserialize(str(path))
    # (N, 1, classes) -> (N, classes)
    result = treelite.gtil.predict(model, features, nthread=1).reshape(len(features), -1)
    return np.ascontiguousarray(result, np.float32)
