"""Train the attractiveness head: an MLP on the embedding, its conformal interval and its reference distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.steps import ATTRACTIVENESS, ATTRACTIVENESS_INTERVAL, ATTRACTIVENESS_SCORE
from fsengine.errors import InvalidInputError
from fsexport.artifact.exported import Exported
from fsexport.artifact.figures import constant_error, share_with_interval
from fsexport.artifact.onnx_file import run_graph
from fsexport.heads.attractiveness_artifact import export_attractiveness_artifact
from fsexport.heads.head_inputs import HeadInputs
from fsexport.heads.rating_mlp import layer_scores
from fstraining.data.face_splits import FaceSplits, growing_parts, split_faces
from fstraining.data.faces import TrainingFaces
from fstraining.data.groups import groups_of
from fstraining.evaluate.conformal import COVERAGE, covered, half_width, label_weights
from fstraining.evaluate.metrics import Figure, group_table, meaningful, regression_figures
from fstraining.evaluate.plots import loss_curve, scatter, size_curve
from fstraining.evaluate.training_report import TrainingReport, write_report
from fstraining.fits.mlp import MlpFit, MlpSettings, Rows, fit_mlp, stored_fit
from fstraining.fits.search import search
from fstraining.heads.training_options import Say, TrainingOptions, describe_data

if TYPE_CHECKING:
    import optuna

_INNER_FOLDS = 6
_LARGEST_RATING = 1e6

LIMITS = (
    "A score repeats what the raters of its data set preferred in photos, with their taste and their prejudice.",
    "Scores of different heads, encoders or crops do not compare; the percentile is among the faces it was trained on.",
    "Light, make-up, pose, expression and age move the score as much as the face does.",
)


def train_attractiveness(faces: TrainingFaces, options: TrainingOptions, say: Say) -> Exported:
    """Train, export and report.

    Args:
        faces: Faces; those without a rating are left out.
        options: How.
        say: Called with each line for people.

    Raises:
        InvalidInputError: There are too few rated faces.
        MissingDependencyError: torch, optuna or matplotlib is not installed.
        ExportError: The exported head differs from the trained one.
    """
    rated = np.flatnonzero([record.rating is not None for record in faces.records])
    options.claim_folder(ATTRACTIVENESS)
    faces = faces.take(rated, "without a rating")
    splits = split_faces(faces, options.seed)
    kept = splits.fitted
    rows = _rows(faces, kept)
    data = describe_data(faces, splits, rows.targets, options)
    settings = _settings(rows, splits, options, data.digest, say)
    say(f"cross-validation over {options.folds} folds")
    out_of_fold = _cross_validated(rows, splits, kept, settings, options)
    width = half_width(rows.targets[kept] - out_of_fold)
    say(f"training on {len(splits.train)} faces")
    fit = stored_fit(
        rows.take(splits.train),
        rows.take(splits.validation),
        settings,
        folder=options.work_folder,
        progress=_every(20, lambda epoch, loss: say(f"  epoch {epoch}: validation loss {loss:.5f}")),
    )
    say("learning curve over the size of the training set")
    curve = _size_curve(rows, splits, settings, options)
    exported = export_attractiveness_artifact(
        fit.layers,
        out_of_fold,
        options.origin("an MLP", faces.encoder_id),
        options.out,
        say,
        HeadInputs(rows=faces.embeddings[splits.test], text=f"{len(splits.test)} faces kept out of training"),
        half_width=width,
        reads=faces.encoder_id,
        options={"data": data.digest, "seed": options.seed, "settings": _plain(settings), "coverage": COVERAGE},
    )
    served = run_graph(options.out / exported.file, {"face_embedding": faces.embeddings[splits.test]})
    predicted = served[ATTRACTIVENESS_SCORE.name][:, 0].astype(np.float64)
    targets = rows.targets[splits.test]
    hits = covered(served[ATTRACTIVENESS_INTERVAL.name], targets)

    def figures(some: NDArray[np.int64]) -> dict[str, Figure]:
        return {
            **regression_figures(targets[some], predicted[some]),
            "interval_coverage": share_with_interval(hits[some]),
        }

    pictures = _draw(options.report_folder, fit, curve, targets, predicted, width)
    write_report(
        TrainingReport(
            head="attractiveness",
            about=f"An MLP {' - '.join(str(w) for w in settings.hidden)} on the embedding, with a conformal interval "
            f"of {COVERAGE:.0%} (plus or minus {width:.3g}) and a percentile among "
            f"{len(out_of_fold)} out-of-fold scores.",
            data=data,
            settings={**_plain(settings), "folds": options.folds, "trials": options.trials, "coverage": COVERAGE},
            figures=meaningful(figures(np.arange(len(targets)))),
            chance={"mean_absolute_error": constant_error(targets, 4)},
            groups=group_table(groups_of([faces.records[row] for row in splits.test]), figures),
            curves={"epochs": {"train": fit.train_losses, "validation": fit.validation_losses}, "sizes": curve},
            limits=LIMITS,
            pictures=pictures,
        ),
        options.report_folder,
        say,
    )
    return exported


def _rows(faces: TrainingFaces, kept: NDArray[np.int64]) -> Rows:
    """Return embeddings, mean ratings and how much each counts, raters' disagreement in mind.

    Args:
        faces: Rated faces.
        kept: Rows that may decide anything: those that figures are made on do not.
    """
    targets = np.array([record.rating for record in faces.records], np.float64)
    if len(np.unique(targets)) < 3:
        raise InvalidInputError(f"ratings take {len(np.unique(targets))} values, expected numbers that differ")
    if (largest := float(np.abs(targets).max())) > _LARGEST_RATING:
        raise InvalidInputError(f"ratings reach {largest:g}, expected at most {_LARGEST_RATING:g}; rescale them")
    stds = np.array([np.nan if record.rating_std is None else record.rating_std for record in faces.records])
    counts = np.array([np.nan if record.num_raters is None else record.num_raters for record in faces.records])
    return Rows(
        inputs=faces.embeddings, targets=targets, weights=label_weights(stds, counts, float(targets[kept].std()))
    )


def _settings(rows: Rows, splits: FaceSplits, options: TrainingOptions, digest: str, say: Say) -> MlpSettings:
    """Return the settings that a search found, or the defaults."""
    settings = MlpSettings(seed=options.seed)
    if not options.trials:
        return settings
    train, validation = rows.take(splits.train), rows.take(splits.validation)

    def drawn(trial: optuna.trial.BaseTrial) -> MlpSettings:
        first = trial.suggest_categorical("first", [32, 64, 128, 256])
        second = trial.suggest_categorical("second", [0, 16, 32, 64])
        return replace(
            settings,
            hidden=(first, second) if second else (first,),
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 1.0, log=True),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
        )

    best = search(
        lambda trial: min(fit_mlp(train, validation, drawn(trial)).validation_losses),
        trials=options.trials,
        seed=options.seed,
        about=f"attractiveness, data {digest}",
        folder=options.work_folder,
        progress=lambda done, loss: say(f"  trial {done} of {options.trials}: best validation loss {loss:.5f}"),
    )
    from optuna.trial import FixedTrial

    return drawn(FixedTrial(best))


def _cross_validated(
    rows: Rows, splits: FaceSplits, kept: NDArray[np.int64], settings: MlpSettings, options: TrainingOptions
) -> NDArray[np.float64]:
    """Return a prediction of each kept face by a network that was neither fitted on it nor stopped by it."""
    folds = splits.folds(kept, options.folds, options.seed)
    predicted = np.zeros(len(kept))
    for fold in range(options.folds):
        held, rest = kept[folds == fold], kept[folds != fold]
        inner = splits.folds(rest, _INNER_FOLDS, options.seed) == 0
        fit = stored_fit(rows.take(rest[~inner]), rows.take(rest[inner]), settings, folder=options.work_folder)
        predicted[folds == fold] = layer_scores(fit.layers, rows.inputs[held])
    return predicted


def _size_curve(
    rows: Rows, splits: FaceSplits, settings: MlpSettings, options: TrainingOptions
) -> dict[str, list[float]]:
    """Return errors of networks trained on ever more faces, on the faces kept out."""
    curve: dict[str, list[float]] = {"sizes": [], "train": [], "kept out": []}
    for part in growing_parts(splits.train, 2, settings.seed):
        fit = stored_fit(rows.take(part), rows.take(splits.validation), settings, folder=options.work_folder)
        curve["sizes"].append(len(part))
        for name, some in (("train", part), ("kept out", splits.test)):
            curve[name].append(float(np.abs(rows.targets[some] - layer_scores(fit.layers, rows.inputs[some])).mean()))
    return curve


def _draw(
    folder: Path,
    fit: MlpFit,
    curve: dict[str, list[float]],
    targets: NDArray[np.float64],
    predicted: NDArray[np.float64],
    width: float,
) -> dict[str, str]:
    losses: dict[str, Sequence[float]] = {"train": fit.train_losses, "validation": fit.validation_losses}
    loss_curve(folder / "epochs.png", losses, fit.best_epoch, "mean squared error")
    sizes = [int(size) for size in curve["sizes"]]
    errors = {name: curve[name] for name in ("train", "kept out")}
    size_curve(folder / "sizes.png", sizes, errors, "mean absolute error")
    scatter(folder / "scatter.png", targets, predicted, width, "rating")
    return {
        "epochs.png": "Error over epochs",
        "sizes.png": "Error over the number of faces trained on",
        "scatter.png": "Predicted over labelled scores",
    }


def _plain(settings: MlpSettings) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}


def _every(count: int, call: Callable[[int, float], None]) -> Callable[[int, float], None]:
    """Return a callback that passes every so many calls on."""

    def some(number: int, value: float) -> None:
        if number % count == 0:
            call(number, value)

    return some
