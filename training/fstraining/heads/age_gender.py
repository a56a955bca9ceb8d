"""Train age and gender on the embedding: linear heads, the age with a conformal interval; no weights of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.record import LabelledPhoto
from fsdata.labels.training_faces import TrainingFaces
from fsengine.contracts.steps import AGE_GENDER, AGE_INTERVAL, AGE_YEARS, gender_probability
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import Say
from fsexport.artifact.exported import Exported
from fsexport.heads.linear_age_gender import (
    LinearAgeGender,
    export_linear_age_gender_artifact,
    predict_age_gender,
)
from fstraining.data.groups import age_bucket
from fstraining.evaluate.conformal import COVERAGE, covered, half_width
from fstraining.evaluate.figures import constant_error, constant_share, share_with_interval
from fstraining.evaluate.metrics import Figure, class_figures, confusion, regression_figures, reliability
from fstraining.evaluate.predictions import Answer
from fstraining.evaluate.training_charts import confusion_matrix, reliability_diagram, scatter, size_curve
from fstraining.fits.linear import fit_age_gender
from fstraining.heads.course import Findings, Head, Served, Task, train
from fstraining.heads.training_options import TrainingOptions

if TYPE_CHECKING:
    import optuna

MOST_WEIGHT = 10.0
"""The most that a face of a rare age counts, against one on average."""

_RIDGES = np.geomspace(0.01, 30.0, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeGenderLabels:
    """What is learnt of each face.

    Attributes:
        names: The two genders.
        genders: int64 (N,).
        years: Age, float64 (N,).
        age_weights: float64 (N,), how much the face counts in the fit of the age; see `age_weights`.
    """

    names: list[str]
    genders: NDArray[np.int64]
    years: NDArray[np.float64]
    age_weights: NDArray[np.float64]

    @property
    def array(self) -> NDArray[np.float64]:
        """Return float64 (2, N), genders and years."""
        return np.stack([self.genders, self.years])


@dataclass(frozen=True, slots=True)
class Ridges:
    """Weights of the penalties."""

    gender: float
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeGenderFit:
    """The fitted head, and half of the age's interval."""

    head: LinearAgeGender
    half_width_years: float


class _AgeGenderHead(Head[AgeGenderLabels, Ridges, AgeGenderFit]):
    """Penalties by cross-validation, a fit on all faces but those kept out, an interval from the residuals."""

    step = AGE_GENDER
    title = "age and gender"
    unlabelled = "without a gender or an age"
    stops_early = False
    answers: ClassVar[Mapping[str, Sequence[str]]] = {
        "gender": ("gender_accuracy",),
        "age": ("age_mean_absolute_error",),
    }
    leading: ClassVar[Mapping[str, str]] = {"age_mean_absolute_error": "years", "gender_accuracy": ""}
    limits = (
        "Gender is what annotators saw in a photo, in two classes; it is neither sex nor what a person says of "
        "themselves.",
        "Age is how old a face looks; children, old people and made-up faces are wrong by more than the average.",
        "Where labels are buckets, errors and intervals are about the bucket's mean age, not about the true age.",
        "The interval holds on average over faces like those trained on, and not for every group alike: see the table.",
    )

    def is_labelled(self, record: LabelledPhoto) -> bool:
        return record.gender is not None and record.age_years is not None

    def class_of(self, record: LabelledPhoto) -> str | None:
        return record.gender

    def read_labels(self, records: Sequence[LabelledPhoto], say: Say) -> AgeGenderLabels:
        names = sorted({str(record.gender) for record in records})
        if len(names) != 2:
            raise InvalidInputError(f"the faces are labelled {names}, expected two genders")
        years = np.array([record.age_years for record in records], np.float64)
        return AgeGenderLabels(
            names=names,
            genders=np.array([names.index(str(record.gender)) for record in records]),
            years=years,
            age_weights=age_weights(years),
        )

    def choose_settings(self, task: Task[AgeGenderLabels]) -> Ridges:
        folds = task.options.folds
        task.say(f"choosing penalties by cross-validation over {folds} folds")
        if task.options.trials:

            def loss(trial: optuna.Trial) -> float:
                gender = trial.suggest_float("gender", 0.001, 100.0, log=True)
                age = trial.suggest_float("age", 0.001, 100.0, log=True)
                log_loss, error_years = _losses(task, Ridges(gender, age))
                return log_loss + error_years / 20.0  # brought to the size of a log loss

            return Ridges(**task.search(loss, f"age and gender, data {task.data.digest}, {folds} folds"))
        grid = []
        for number, ridge in enumerate(_RIDGES.tolist(), start=1):
            grid.append(_losses(task, Ridges(ridge, ridge)))
            task.say(f"  penalty {number} of {len(_RIDGES)}: log loss {grid[-1][0]:.4f}, {grid[-1][1]:.2f} years")
        gender, age = np.argmin(grid, axis=0)
        return Ridges(float(_RIDGES[gender]), float(_RIDGES[age]))

    def fit(self, task: Task[AgeGenderLabels], settings: Ridges) -> AgeGenderFit:
        residuals = task.labels.years[task.rows] - _out_of_fold(task, settings)[:, 1]
        return AgeGenderFit(head=_fit(task, settings, task.rows), half_width_years=half_width(residuals))

    def least_part(self, labels: AgeGenderLabels) -> int:
        return 8

    def scores_of_part(
        self, task: Task[AgeGenderLabels], settings: Ridges, part: NDArray[np.int64]
    ) -> Mapping[str, float]:
        test = task.splits.test
        second, ages = predict_age_gender(_fit(task, settings, part), task.embeddings(test))
        return {
            "gender accuracy": float(((second > 0.5) == (task.labels.genders[test] == 1)).mean()),
            "age error, years": float(np.abs(task.labels.years[test] - ages).mean()),
        }

    def export(self, task: Task[AgeGenderLabels], settings: Ridges, fit: AgeGenderFit) -> Exported:
        options = task.options
        return export_linear_age_gender_artifact(
            fit.head,
            task.labels.names,
            options.origin("linear heads", task.faces.encoder_id),
            options.out,
            task.say,
            task.test_inputs(),
            half_width_years=fit.half_width_years,
            reads=task.faces.encoder_id,
            options=task.record(ridges=list(astuple(settings)), coverage=COVERAGE),
        )

    def findings(
        self,
        task: Task[AgeGenderLabels],
        settings: Ridges,
        fit: AgeGenderFit,
        served: Served,
        sizes: Mapping[str, list[float]],
    ) -> Findings:
        genders, years = task.labels.genders[task.splits.test], task.labels.years[task.splits.test]
        probabilities = served[gender_probability(2).name].astype(np.float64)
        ages = served[AGE_YEARS.name][:, 0].astype(np.float64)
        hits = covered(served[AGE_INTERVAL.name], years)

        def figures(rows: NDArray[np.int64]) -> dict[str, Figure]:
            gender = class_figures(genders[rows], probabilities[rows])
            age = regression_figures(years[rows], ages[rows])
            return {
                "gender_accuracy": gender["accuracy"],
                "gender_calibration_error": gender["calibration_error"],
                **{f"age_{name}": figure for name, figure in age.items()},
                "age_interval_coverage": share_with_interval(hits[rows]),
            }

        steps, names = sizes["sizes"], task.labels.names
        shares, errors = {"kept out": sizes["gender accuracy"]}, {"kept out": sizes["age error, years"]}
        curve, second = reliability(genders, probabilities), probabilities.argmax(axis=1)
        return Findings(
            about=f"Linear heads on the embedding; the age with a conformal interval of {COVERAGE:.0%}, plus or minus "
            f"{fit.half_width_years:.1f} years.",
            settings={
                "seed": task.options.seed,
                "folds": task.options.folds,
                "trials": task.options.trials,
                "ridges": list(astuple(settings)),
            },
            figures=figures,
            chance={
                "gender_accuracy": constant_share(genders, 4),
                "age_mean_absolute_error": constant_error(years, 4),
            },
            curves={"reliability": curve},
            charts=[
                scatter(years, ages, fit.half_width_years, "Age", "years"),
                confusion_matrix(confusion(genders, second, 2), names, "Confusion of the genders"),
                reliability_diagram(curve, "Reliability of the served gender"),
                size_curve(steps, errors, "age error, years"),
                size_curve(steps, shares, "share of genders right"),
            ],
            predictions=[
                Answer(
                    name="age_years",
                    title="age",
                    truth=years.tolist(),
                    predicted=ages.tolist(),
                    intervals=served[AGE_INTERVAL.name],
                    unit="years",
                ),
                Answer(
                    name="gender",
                    title="gender",
                    truth=[names[number] for number in genders],
                    predicted=[names[number] for number in second],
                    probabilities=probabilities,
                    classes=names,
                ),
            ],
        )


def age_weights(years: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much each face counts, float64 (N,): every age bucket of FairFace that occurs as much as any other.

    Children and old people are rare in most collections, and a fit that counts faces alike draws their ages to the
    middle.

    Args:
        years: float64 (N,).
    """
    _, buckets, counts = np.unique([age_bucket(age) for age in years], return_inverse=True, return_counts=True)
    return np.minimum(len(years) / len(counts) / counts[buckets], MOST_WEIGHT)


def train_age_gender(faces: TrainingFaces, options: TrainingOptions, say: Say) -> Exported:
    """Train age and gender; faces without either are left out. See `fstraining.heads.course.train`."""
    return train(_AgeGenderHead(), faces, options, say)


def _fit(task: Task[AgeGenderLabels], ridges: Ridges, rows: NDArray[np.int64]) -> LinearAgeGender:
    labels = task.labels
    return fit_age_gender(
        task.embeddings(rows),
        labels.genders[rows] == 1,
        labels.years[rows],
        ridges.gender,
        ridges.age,
        labels.age_weights[rows],
    )


def _out_of_fold(task: Task[AgeGenderLabels], ridges: Ridges) -> NDArray[np.float64]:
    """Return float64 (N, 2) for the fitted rows: the probability of the second gender, and the age in years."""
    return task.out_of_fold(
        lambda fitted, held: np.column_stack(predict_age_gender(_fit(task, ridges, fitted), task.embeddings(held)))
    )


def _losses(task: Task[AgeGenderLabels], ridges: Ridges) -> tuple[float, float]:
    """Return the log loss of the gender and the mean absolute error of the age, out of fold."""
    from sklearn.metrics import log_loss, mean_absolute_error

    second, ages = _out_of_fold(task, ridges).T
    labels, rows = task.labels, task.rows
    error_years = mean_absolute_error(labels.years[rows], ages, sample_weight=labels.age_weights[rows])
    return float(log_loss(labels.genders[rows], second, labels=[0, 1])), float(error_years)
