"""Train age and gender on the embedding: linear heads, the age with a conformal interval; no weights of others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.served import GENDER
from fsengine.contracts.steps import (
    AGE_GENDER,
    AGE_INTERVAL,
    AGE_YEARS,
    age_gender_spec,
    face_embedding,
    gender_probability,
)
from fsengine.errors import InvalidInputError
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, export_artifact
from fsexport.artifact.figures import constant_error, constant_share, share_with_interval
from fsexport.artifact.onnx_file import run_graph
from fsexport.artifact.parity import compare
from fsexport.heads.linear_age_gender import (
    LinearAgeGender,
    export_linear_age_gender,
    fit_age_gender,
    predict_age_gender,
)
from fstraining.data.face_splits import FaceSplits, growing_parts, split_faces
from fstraining.data.faces import TrainingFaces
from fstraining.data.groups import groups_of
from fstraining.evaluate.conformal import COVERAGE, covered, half_width
from fstraining.evaluate.metrics import (
    Figure,
    class_figures,
    confusion,
    group_table,
    meaningful,
    regression_figures,
    reliability,
)
from fstraining.evaluate.plots import confusion_matrix, reliability_diagram, scatter, size_curve
from fstraining.evaluate.training_report import TrainingReport, write_report
from fstraining.fits.search import search
from fstraining.heads.training_options import Say, TrainingOptions, describe_data

if TYPE_CHECKING:
    import optuna

_RIDGES = np.geomspace(0.01, 30.0, 12)
PROBABILITY_LIMIT = 1e-5
AGE_LIMIT_YEARS = 1e-3

LIMITS = (
    "Gender is what annotators saw in a photo, in two classes; it is neither sex nor what a person says of themselves.",
    "Age is how old a face looks; children, old people and made-up faces are wrong by more than the average.",
    "Where labels are buckets, errors and intervals are about the bucket's middle, not about the true age.",
    "The interval holds on average over faces like those trained on, and not for every group alike: see the table.",
)


def train_age_gender(faces: TrainingFaces, options: TrainingOptions, say: Say) -> Exported:
    """Train, export and report.

    Args:
        faces: Faces; those without a gender or an age are left out.
        options: How.
        say: Called with each line for people.

    Raises:
        InvalidInputError: There are too few labelled faces, or genders other than two.
        MissingDependencyError: optuna or matplotlib is not installed.
        ExportError: The exported head differs from the trained one.
    """
    options.claim_folder(AGE_GENDER)
    known = [record.gender is not None and record.age_years is not None for record in faces.records]
    faces = faces.take(np.flatnonzero(known), "without a gender or an age")
    labels = sorted({str(record.gender) for record in faces.records})
    if len(labels) != 2:
        raise InvalidInputError(f"the faces are labelled {labels or 'with nothing'}, expected two genders")
    genders = np.array([labels.index(str(record.gender)) for record in faces.records])
    years = np.array([record.age_years for record in faces.records], np.float64)
    splits = split_faces(faces, options.seed)
    kept = splits.fitted

    def fit(rows: NDArray[np.int64], ridges: tuple[float, float]) -> LinearAgeGender:
        """Fit the gender with one penalty and the age with another."""
        fits = {r: fit_age_gender(faces.embeddings[rows], genders[rows] == 1, years[rows], r) for r in set(ridges)}
        gender, age = (fits[ridge] for ridge in ridges)
        return replace(gender, age_weight=age.age_weight, age_bias=age.age_bias)

    def out_of_fold(ridges: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        folds = splits.folds(kept, options.folds, options.seed)
        second, ages = np.zeros(len(kept)), np.zeros(len(kept))
        for fold in range(options.folds):
            held = folds == fold
            second[held], ages[held] = predict_age_gender(fit(kept[~held], ridges), faces.embeddings[kept[held]])
        return second, ages

    data = describe_data(faces, splits, np.stack([genders, years]), options)
    ridges = _ridges(out_of_fold, genders[kept], years[kept], options, data.digest, say)
    say(f"training on {len(kept)} faces")
    head = fit(kept, ridges)
    width = half_width(years[kept] - out_of_fold(ridges)[1])
    curve = _size_curve(fit, ridges, faces, genders, years, splits, options.seed)
    exported = _export(head, width, labels, faces, splits, data.digest, ridges, options, say)
    served = run_graph(options.out / exported.file, {"face_embedding": faces.embeddings[splits.test]})
    probabilities = served[gender_probability(2).name].astype(np.float64)
    ages = served[AGE_YEARS.name][:, 0].astype(np.float64)
    truth, target = genders[splits.test], years[splits.test]
    hits = covered(served[AGE_INTERVAL.name], target)

    def figures(rows: NDArray[np.int64]) -> dict[str, Figure]:
        gender = class_figures(truth[rows], probabilities[rows])
        age = regression_figures(target[rows], ages[rows])
        return {
            "gender_accuracy": gender["accuracy"],
            "gender_calibration_error": gender["calibration_error"],
            **{f"age_{name}": figure for name, figure in age.items()},
            "age_interval_coverage": share_with_interval(hits[rows]),
        }

    pictures = _draw(options.report_folder, curve, truth, probabilities, target, ages, width, labels)
    write_report(
        TrainingReport(
            head="age and gender",
            about=f"Linear heads on the embedding; the age with a conformal interval of {COVERAGE:.0%}, plus or minus "
            f"{width:.1f} years.",
            data=data,
            settings={"seed": options.seed, "folds": options.folds, "trials": options.trials, "ridges": list(ridges)},
            figures=meaningful(figures(np.arange(len(truth)))),
            chance={
                "gender_accuracy": constant_share(truth, 4),
                "age_mean_absolute_error": constant_error(target, 4),
            },
            groups=group_table(groups_of([faces.records[row] for row in splits.test]), figures),
            curves={"sizes": curve, "reliability": reliability(truth, probabilities)},
            limits=LIMITS,
            pictures=pictures,
        ),
        options.report_folder,
        say,
    )
    return exported


Fit = Callable[[NDArray[np.int64], tuple[float, float]], LinearAgeGender]
OutOfFold = Callable[[tuple[float, float]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def _ridges(
    out_of_fold: OutOfFold,
    genders: NDArray[np.int64],
    years: NDArray[np.float64],
    options: TrainingOptions,
    digest: str,
    say: Say,
) -> tuple[float, float]:
    """Return the penalties of gender and age with the least out-of-fold losses."""
    say(f"choosing penalties by cross-validation over {options.folds} folds")

    def losses(ridges: tuple[float, float]) -> tuple[float, float]:
        second, ages = out_of_fold(ridges)
        likelihood = np.where(genders == 1, second, 1 - second)
        return float(-np.log(np.maximum(likelihood, 1e-12)).mean()), float(np.abs(years - ages).mean())

    if options.trials:

        def loss(trial: optuna.Trial) -> float:
            drawn = (
                trial.suggest_float("gender", 0.001, 100.0, log=True),
                trial.suggest_float("age", 0.001, 100.0, log=True),
            )
            gender, age = losses(drawn)
            return gender + age / 20.0  # years, brought to the size of a log loss

        best = search(
            loss,
            trials=options.trials,
            seed=options.seed,
            about=f"age and gender, data {digest}, {options.folds} folds",
            folder=options.work_folder,
            progress=lambda done, value: say(f"  trial {done} of {options.trials}: best loss {value:.4f}"),
        )
        return best["gender"], best["age"]
    grid = []
    for number, ridge in enumerate(_RIDGES, start=1):
        grid.append(losses((float(ridge), float(ridge))))
        say(f"  penalty {number} of {len(_RIDGES)}: log loss {grid[-1][0]:.4f}, {grid[-1][1]:.2f} years")
    gender, age = (int(np.argmin([pair[index] for pair in grid])) for index in range(2))
    return float(_RIDGES[gender]), float(_RIDGES[age])


def _export(
    head: LinearAgeGender,
    width: float,
    labels: list[str],
    faces: TrainingFaces,
    splits: FaceSplits,
    digest: str,
    ridges: tuple[float, float],
    options: TrainingOptions,
    say: Say,
) -> Exported:
    weights = b"".join(part.tobytes() for part in (head.gender_weight, head.age_weight))
    job = ExportJob(
        step=AGE_GENDER,
        origin=options.origin("linear heads", faces.encoder_id),
        options={
            "data": digest,
            "weights": hashlib.sha256(weights).hexdigest()[:16],
            "seed": options.seed,
            "ridges": list(ridges),
            "half_width_years": width,
            "coverage": COVERAGE,
            "labels": labels,
        },
        libraries=("onnx", "onnxruntime"),
    )

    def make(path: Path) -> ExportResult:
        export_linear_age_gender(head, path, width)
        rows = faces.embeddings[splits.test]
        found = run_graph(path, {"face_embedding": rows})
        second, ages = predict_age_gender(head, rows)
        inputs = f"{len(rows)} faces kept out of training"
        parity = (
            compare(
                found[gender_probability(2).name][:, 1],
                second,
                quantity="gender probability",
                reference="the trained head in float64",
                inputs=inputs,
                limit=PROBABILITY_LIMIT,
            ),
            compare(
                found[AGE_YEARS.name][:, 0],
                ages,
                quantity="age, years",
                reference="the trained head in float64",
                inputs=inputs,
                limit=AGE_LIMIT_YEARS,
            ),
        )
        spec = age_gender_spec(face_embedding(rows.shape[1]), with_interval=True)
        return ExportResult(spec=spec, labels={GENDER: labels}, parity=parity, reads=faces.encoder_id)

    return export_artifact(job, options.out, make, say)


def _size_curve(
    fit: Fit,
    ridges: tuple[float, float],
    faces: TrainingFaces,
    genders: NDArray[np.int64],
    years: NDArray[np.float64],
    splits: FaceSplits,
    seed: int,
) -> dict[str, list[float]]:
    """Return the kept-out figures of heads trained on ever more faces."""
    curve: dict[str, list[float]] = {"sizes": [], "gender accuracy": [], "age error, years": []}
    for part in growing_parts(splits.fitted, 8, seed):
        second, ages = predict_age_gender(fit(part, ridges), faces.embeddings[splits.test])
        curve["sizes"].append(len(part))
        curve["gender accuracy"].append(float(((second > 0.5) == (genders[splits.test] == 1)).mean()))
        curve["age error, years"].append(float(np.abs(years[splits.test] - ages).mean()))
    return curve


def _draw(
    folder: Path,
    curve: dict[str, list[float]],
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    target: NDArray[np.float64],
    ages: NDArray[np.float64],
    width: float,
    labels: list[str],
) -> dict[str, str]:
    sizes = [int(size) for size in curve["sizes"]]
    size_curve(folder / "sizes_gender.png", sizes, {"kept out": curve["gender accuracy"]}, "share of genders right")
    size_curve(folder / "sizes_age.png", sizes, {"kept out": curve["age error, years"]}, "mean absolute error, years")
    confusion_matrix(folder / "confusion.png", confusion(truth, probabilities.argmax(axis=1), 2), labels)
    reliability_diagram(folder / "reliability.png", reliability(truth, probabilities))
    scatter(folder / "age.png", target, ages, width, "years")
    return {
        "sizes_gender.png": "Share of genders right over the number of faces trained on",
        "sizes_age.png": "Error of the age over the number of faces trained on",
        "confusion.png": "Confusion matrix of the gender",
        "reliability.png": "Reliability of the served gender",
        "age.png": "Predicted over labelled age",
    }
