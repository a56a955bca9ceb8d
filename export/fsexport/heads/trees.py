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
