"""Train the ethnicity head: LightGBM on the embedding, class weights, calibration, an abstain threshold."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.steps import ETHNICITY
from fsengine.errors import InvalidInputError
from fsexport.artifact.exported import Exported, file_hashes
from fsexport.heads.forest_artifact import export_forest_artifact
from fsexport.heads.trees import (
    FAIRFACE_CLASSES,
    best_temperature,
    checkpoint_probabilities,
    fold_temperature,
    import_lightgbm,
)
from fstraining.data.face_splits import FaceSplits, growing_parts, split_faces
from fstraining.data.faces import TrainingFaces
from fstraining.data.groups import groups_of
from fstraining.evaluate.figures import constant_share, share_with_interval
from fstraining.evaluate.metrics import Figure, class_figures, confusion, group_table, meaningful, reliability
from fstraining.evaluate.plots import confusion_matrix, loss_curve, reliability_diagram, size_curve
from fstraining.evaluate.training_report import TrainingReport, write_report
from fstraining.fits.search import search
from fstraining.heads.training_options import Say, TrainingOptions, describe_data

if TYPE_CHECKING:
    import optuna
    from lightgbm import Booster


LIMITS = (
    "The classes are those that annotators of the data set gave to photos; they are no fact about a person's origin.",
    "Faces that fit none of the classes get one all the same, or the head abstains.",
    "Below its threshold the head abstains: no class is named, and the probabilities stay for whoever wants them.",
)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    booster: Booster
    losses: dict[str, list[float]]


def train_ethnicity(faces: TrainingFaces, options: TrainingOptions, say: Say) -> Exported:
    """Train, export and report.

    Args:
        faces: Faces; those without an ethnicity are left out.
        options: How.
        say: Called with each line for people.

    Raises:
        InvalidInputError: There are too few labelled faces, or of fewer than two classes.
        MissingDependencyError: LightGBM, optuna or matplotlib is not installed.
        ExportError: The exported head differs from the trained one.
    """
    import_lightgbm()
    options.claim_folder(ETHNICITY)
    known = np.flatnonzero([record.ethnicity is not None for record in faces.records])
    faces = faces.take(known, "without an ethnicity")
    labels = _labels(faces)
    if strangers := sorted(set(labels) - set(FAIRFACE_CLASSES)):
        say(f"note: {', '.join(strangers)} are none of FairFace's classes; do not mix data sets of different classes")
    classes = np.array([labels.index(str(record.ethnicity)) for record in faces.records])
    splits = split_faces(faces, options.seed)
    if missing := [label for index, label in enumerate(labels) if index not in set(classes[splits.train].tolist())]:
        raise InvalidInputError(f"no face to train on is {', '.join(missing)}; give more faces of it, or leave it out")
    data = describe_data(faces, splits, classes, options)
    settings = _settings(faces, classes, splits, len(labels), options, data.digest, say)
    say(f"training on {len(splits.train)} faces")
    fit = _fit(faces, classes, splits.train, splits.validation, len(labels), settings)
    scores = np.asarray(fit.booster.predict(faces.embeddings[splits.validation], raw_score=True))
    temperature = best_temperature(scores, classes[splits.validation])
    fold_temperature(fit.booster, temperature)
    threshold = best_threshold(
        np.asarray(fit.booster.predict(faces.embeddings[splits.validation])), classes[splits.validation]
    )
    say("learning curve over the size of the training set")
    curve = _size_curve(faces, classes, splits, len(labels), settings)
    exported = _export(fit.booster, labels, threshold, temperature, faces, settings, data.digest, options, say)
    served = checkpoint_probabilities(options.out / exported.file, faces.embeddings[splits.test])
    probabilities = served.astype(np.float64)
    truth = classes[splits.test]
    sure = probabilities.max(axis=1) >= threshold

    def figures(rows: NDArray[np.int64]) -> dict[str, Figure]:
        found = dict(class_figures(truth[rows], probabilities[rows]))
        found["share_not_abstained"] = share_with_interval(sure[rows])
        if sure[rows].sum() >= 2:
            accepted = rows[sure[rows]]
            found["accuracy_where_not_abstained"] = share_with_interval(
                probabilities[accepted].argmax(axis=1) == truth[accepted]
            )
        return found

    pictures = _draw(options.report_folder, fit, curve, truth, probabilities, labels)
    write_report(
        TrainingReport(
            head="ethnicity",
            about=f"LightGBM on the embedding, {len(labels)} classes, temperature {temperature:.3f} folded into the "
            f"leaves; it abstains below a probability of {threshold:.3f}.",
            data=data,
            settings={
                **asdict(settings),
                "rounds": fit.booster.num_trees() // len(labels),
                "temperature": round(temperature, 6),
                "threshold": round(threshold, 6),
                "trials": options.trials,
            },
            figures=meaningful(figures(np.arange(len(truth)))),
            chance=_chance(truth, len(labels)),
            groups=group_table(groups_of([faces.records[row] for row in splits.test]), figures),
            curves={"rounds": fit.losses, "sizes": curve, "reliability": reliability(truth, probabilities)},
            limits=LIMITS,
            pictures=pictures,
        ),
        options.report_folder,
        say,
    )
    return exported


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


def _labels(faces: TrainingFaces) -> list[str]:
    """Return the classes of the data: FairFace's in their own order, others by name."""
    found = {str(record.ethnicity) for record in faces.records}
    known = found <= set(FAIRFACE_CLASSES)
    labels = [label for label in FAIRFACE_CLASSES if label in found] if known else sorted(found)
    if len(labels) < 2:
        raise InvalidInputError(f"the faces are labelled {labels or 'with nothing'}, expected two classes or more")
    return labels


def _fit(
    faces: TrainingFaces,
    classes: NDArray[np.int64],
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    num_classes: int,
    settings: ForestSettings,
) -> _Fit:
    """Grow a forest until the validation loss gets no better; the rounds after the best one are cut off."""
    import lightgbm

    counts = np.maximum(np.bincount(classes[train], minlength=num_classes), 1)
    weights = (len(train) / (num_classes * counts)) ** settings.class_weight_power
    data = lightgbm.Dataset(faces.embeddings[train], classes[train], weight=weights[classes[train]])
    held = lightgbm.Dataset(faces.embeddings[validation], classes[validation], reference=data)
    losses: dict[str, Any] = {}
    parameters = {
        "objective": "multiclass",
        "num_class": num_classes,
        "num_leaves": settings.num_leaves,
        "learning_rate": settings.learning_rate,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "min_data_in_leaf": settings.min_data_in_leaf,
        "lambda_l2": settings.lambda_l2,
        "seed": settings.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    booster = lightgbm.train(
        parameters,
        data,
        settings.most_rounds,
        valid_sets=[data, held],
        valid_names=["train", "validation"],
        callbacks=[
            lightgbm.early_stopping(settings.patience, verbose=False),
            lightgbm.record_evaluation(losses),
        ],
    )
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    best = lightgbm.Booster(model_str=text)
    return _Fit(booster=best, losses={name: list(values["multi_logloss"]) for name, values in losses.items()})


def _settings(
    faces: TrainingFaces,
    classes: NDArray[np.int64],
    splits: FaceSplits,
    num_classes: int,
    options: TrainingOptions,
    digest: str,
    say: Say,
) -> ForestSettings:
    """Return the settings that a search found, or the defaults."""
    settings = ForestSettings(seed=options.seed)
    if not options.trials:
        return settings

    def loss(trial: optuna.Trial) -> float:
        drawn = replace(
            settings,
            num_leaves=trial.suggest_int("num_leaves", 3, 31, log=True),
            learning_rate=trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
            feature_fraction=trial.suggest_float("feature_fraction", 0.1, 1.0),
            min_data_in_leaf=trial.suggest_int("min_data_in_leaf", 3, 40, log=True),
            lambda_l2=trial.suggest_float("lambda_l2", 0.1, 50.0, log=True),
            class_weight_power=trial.suggest_float("class_weight_power", 0.0, 1.0),
        )
        fit = _fit(faces, classes, splits.train, splits.validation, num_classes, drawn)
        return min(fit.losses["validation"])

    best = search(
        loss,
        trials=options.trials,
        seed=options.seed,
        about=f"ethnicity, data {digest}",
        folder=options.work_folder,
        progress=lambda done, value: say(f"  trial {done} of {options.trials}: best validation loss {value:.4f}"),
    )
    return replace(settings, **best)


def _export(
    booster: Booster,
    labels: list[str],
    threshold: float,
    temperature: float,
    faces: TrainingFaces,
    settings: ForestSettings,
    digest: str,
    options: TrainingOptions,
    say: Say,
) -> Exported:
    with tempfile.TemporaryDirectory(prefix="facestats-") as beside:
        text = Path(beside) / "forest.txt"
        booster.save_model(str(text))
        origin = replace(options.origin("LightGBM", faces.encoder_id), sources=file_hashes(text))
        return export_forest_artifact(
            text,
            labels,
            origin,
            options.out,
            say,
            threshold=threshold,
            reads=faces.encoder_id,
            options={"data": digest, "seed": options.seed, "settings": asdict(settings), "temperature": temperature},
        )


def _chance(truth: NDArray[np.int64], num_classes: int) -> dict[str, float]:
    """Return what the best constant answer gives on the same faces."""
    return {
        "accuracy": constant_share(truth, 4),
        "balanced_accuracy": round(1 / num_classes, 4),
    }


def _size_curve(
    faces: TrainingFaces, classes: NDArray[np.int64], splits: FaceSplits, num_classes: int, settings: ForestSettings
) -> dict[str, list[float]]:
    """Return shares right of forests grown on ever more faces."""
    curve: dict[str, list[float]] = {"sizes": [], "train": [], "kept out": []}
    for part in growing_parts(splits.train, 2 * num_classes, settings.seed):
        fit = _fit(faces, classes, part, splits.validation, num_classes, settings)
        curve["sizes"].append(len(part))
        for name, rows in (("train", part), ("kept out", splits.test)):
            predicted = np.asarray(fit.booster.predict(faces.embeddings[rows])).argmax(axis=1)
            curve[name].append(float((predicted == classes[rows]).mean()))
    return curve


def _draw(
    folder: Path,
    fit: _Fit,
    curve: dict[str, list[float]],
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    labels: list[str],
) -> dict[str, str]:
    kept = int(np.argmin(fit.losses["validation"])) + 1
    loss_curve(folder / "rounds.png", fit.losses, kept, "log loss", "round")
    shares = {name: curve[name] for name in ("train", "kept out")}
    size_curve(folder / "sizes.png", [int(size) for size in curve["sizes"]], shares, "share right")
    confusion_matrix(folder / "confusion.png", confusion(truth, probabilities.argmax(axis=1), len(labels)), labels)
    reliability_diagram(folder / "reliability.png", reliability(truth, probabilities))
    return {
        "rounds.png": "Log loss over rounds of growing",
        "sizes.png": "Share right over the number of faces trained on",
        "confusion.png": "Confusion matrix",
        "reliability.png": "Reliability of the served head",
    }
