"""A LightGBM model in its text form as the ethnicity step: a Treelite checkpoint, compared on drawn inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.readers.text_tables import read_text
from fsengine.contracts.label_rules import check_labels
from fsengine.contracts.served import ETHNICITY
from fsengine.contracts.steps import ETHNICITY as ETHNICITY_STEP
from fsengine.contracts.steps import ethnicity_spec
from fsengine.errors import ExportError, InvalidInputError
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, Origin, export_artifact
from fsexport.artifact.parity import compare
from fsexport.heads.forest_text import read_forest
from fsexport.heads.trees import checkpoint_probabilities, export_trees, import_lightgbm

DRAWN_ROWS = 2000
# FIL and GTIL keep thresholds and sums in float32, LightGBM in float64.
PROBABILITY_LIMIT = 1e-5

_SEED = 20260101
_MISSING_SHARE = 0.1
_MARGIN = 0.2
"""How far beyond the range of a feature inputs are drawn, as a share of it."""


def export_forest_artifact(
    source: Path,
    labels: Sequence[str],
    origin: Origin,
    folder: Path,
    say: Callable[[str], None],
    *,
    threshold: float | None = None,
    reads: str = "",
    options: Mapping[str, Any] | None = None,
) -> Exported:
    """Export a LightGBM classifier.

    Args:
        source: What `Booster.save_model` wrote.
        labels: A label for each class, in the model's order.
        origin: Where it comes from.
        folder: Where the artifact shall lie.
        say: Called with each line for people.
        threshold: Least probability of the likeliest class; below it the head abstains.
        reads: The encoder that the model was trained on; empty where it is not known.
        options: How the model was made, for its record.

    Raises:
        MissingDependencyError: LightGBM or Treelite is not installed.
        InvalidInputError: The file is no whole LightGBM model in text form.
        ExportError: It is no multiclass model, or the checkpoint differs from it.
    """
    import_lightgbm()
    import lightgbm

    job = ExportJob(
        step=ETHNICITY_STEP,
        origin=origin,
        options={"labels": list(labels), "threshold": threshold, **(options or {})},
        file="checkpoint.tl",
        libraries=("lightgbm", "treelite"),
    )

    def make(path: Path) -> ExportResult:
        booster = lightgbm.Booster(model_str=read_forest(source))
        dump = booster.dump_model()
        objective, classes = str(dump.get("objective", "none")), booster.num_model_per_iteration()
        if objective.split(" ")[0] != "multiclass":
            raise ExportError(
                f"{source} has the objective {objective!r}, expected 'multiclass': its softmax is what FIL serves"
            )
        if classes != len(labels):
            raise ExportError(f"{source} has {classes} classes, and {len(labels)} labels were given")
        export_trees(booster, path)
        rows = random_rows(booster)
        row = compare(
            checkpoint_probabilities(path, rows),
            np.asarray(booster.predict(rows)),
            quantity="probability",
            reference="LightGBM",
            inputs=f"{len(rows)} drawn rows, a tenth of the values missing",
            limit=PROBABILITY_LIMIT,
        )
        spec = ethnicity_spec(booster.num_feature(), classes)
        thresholds = {} if threshold is None else {ETHNICITY: threshold}
        return ExportResult(
            spec=spec, labels={ETHNICITY: list(labels)}, parity=(row,), reads=reads, thresholds=thresholds
        )

    return export_artifact(job, folder, make, say)


def random_rows(booster: object) -> NDArray[np.float32]:
    """Return rows from the ranges and the categories that a model was trained on, beyond both, and missing values.

    Args:
        booster: A LightGBM booster.

    Returns:
        float32 (2000, features).
    """
    text: str = booster.model_to_string()  # type: ignore[attr-defined]
    line = next(line for line in text.splitlines() if line.startswith("feature_infos="))
    infos = line.removeprefix("feature_infos=").split(" ")
    generator = np.random.default_rng(_SEED)
    columns = [_column(info, generator) for info in infos]
    rows = np.stack(columns, axis=1)
    rows[generator.random(rows.shape) < _MISSING_SHARE] = np.nan
    return rows.astype(np.float32)


def _column(info: str, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return drawn values of one feature: `[low:high]`, categories `0:1:5`, or `none` for one that never varied."""
    if info.startswith("["):
        low, high = (float(end) for end in info[1:-1].split(":"))
        margin = _MARGIN * (high - low)
        return generator.uniform(low - margin, high + margin, DRAWN_ROWS)
    if info == "none":
        return generator.normal(size=DRAWN_ROWS)
    known = np.array([float(value) for value in info.split(":")])
    unseen = known.max() + 1 + np.arange(2)
    return generator.choice(np.concatenate([known, unseen]), DRAWN_ROWS)


def read_labels(path: Path) -> list[str]:
    """Read class labels, one a line.

    Raises:
        InvalidInputError: They are no labels; see `fsengine.contracts.label_rules`.
    """
    labels = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    try:
        check_labels(labels)
    except ValueError as exc:
        raise InvalidInputError(f"{path}: {exc}; one a line, in the model's order") from exc
    return labels
