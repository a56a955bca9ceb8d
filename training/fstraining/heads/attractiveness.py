"""Train the attractiveness head: an MLP on the embedding, its conformal interval and its reference distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.record import LabelledPhoto
from fsdata.labels.training_faces import TrainingFaces
from fsengine.contracts.steps import ATTRACTIVENESS, ATTRACTIVENESS_INTERVAL, ATTRACTIVENESS_SCORE
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import Say
from fsexport.artifact.exported import Exported
from fsexport.heads.attractiveness_artifact import export_attractiveness_artifact
from fsexport.heads.rating_mlp import layer_scores
from fstraining.evaluate.conformal import COVERAGE, covered, half_width, label_weights
from fstraining.evaluate.figures import constant_error, share_with_interval
from fstraining.evaluate.metrics import Figure, regression_figures
from fstraining.evaluate.predictions import Answer
from fstraining.evaluate.training_charts import loss_curve, scatter, size_curve
from fstraining.fits.mlp import MlpFit, MlpSettings, Rows, fit_mlp
from fstraining.heads.course import Findings, Head, Served, Task, train
from fstraining.heads.training_options import TrainingOptions

if TYPE_CHECKING:
    import optuna

_INNER_FOLDS = 6
_LARGEST_RATING = 1e6
_EPOCHS_PER_LINE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """Of each face, float64 (N,): the mean rating, the raters' standard deviation and number, NaN where not known."""

    means: NDArray[np.float64]
    stds: NDArray[np.float64]
    counts: NDArray[np.float64]

    @property
    def array(self) -> NDArray[np.float64]:
        """Return the mean ratings."""
        return self.means


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingFit:
    """The network, its out-of-fold scores, float64 (fitted faces,), and half of the interval that they give."""

    network: MlpFit
    out_of_fold: NDArray[np.float64]
    half_width: float


class _AttractivenessHead(Head[Ratings, MlpSettings, RatingFit]):
    """A network stopped early; cross-validation gives the interval and the distribution of scores."""

    step = ATTRACTIVENESS
    title = "attractiveness"
    unlabelled = "without a rating"
    answers: ClassVar[Mapping[str, Sequence[str]]] = {"": ("mean_absolute_error",)}
    leading: ClassVar[Mapping[str, str]] = {"mean_absolute_error": "on the scale of the ratings"}
    limits = (
        "A score repeats what the raters of its data set preferred in photos, with their taste and their prejudice.",
        "Scores of different heads, encoders or crops do not compare; the percentile is among the faces it was trained "
        "on.",
        "Light, make-up, pose, expression and age move the score as much as the face does.",
    )

    def is_labelled(self, record: LabelledPhoto) -> bool:
        return record.rating is not None

    def read_labels(self, records: Sequence[LabelledPhoto], say: Say) -> Ratings:
        means = np.array([record.rating for record in records], np.float64)
        if len(np.unique(means)) < 3:
            raise InvalidInputError(f"ratings take {len(np.unique(means))} values, expected numbers that differ")
        if (largest := float(np.abs(means).max())) > _LARGEST_RATING:
            raise InvalidInputError(f"ratings reach {largest:g}, expected at most {_LARGEST_RATING:g}; rescale them")
        return Ratings(
            means=means,
            stds=np.array([record.rating_std for record in records], np.float64),
            counts=np.array([record.num_raters for record in records], np.float64),
        )

    def choose_settings(self, task: Task[Ratings]) -> MlpSettings:
        settings = MlpSettings(seed=task.options.seed)
        if not task.options.trials:
            return settings
        rows = _weighted(task)
        fitted, validation = rows.take(task.rows), rows.take(task.splits.validation)

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

        best = task.search(
            lambda trial: min(fit_mlp(fitted, validation, drawn(trial)).validation_losses),
            f"attractiveness, data {task.data.digest}",
        )
        from optuna.trial import FixedTrial

        return drawn(FixedTrial(best))

    def fit(self, task: Task[Ratings], settings: MlpSettings) -> RatingFit:
        def progress(epoch: int, loss: float) -> None:
            if epoch % _EPOCHS_PER_LINE == 0:
                task.say(f"  epoch {epoch}: validation loss {loss:.5f}")

        rows = _weighted(task)
        network = fit_mlp(rows.take(task.rows), rows.take(task.splits.validation), settings, progress)
        task.say(f"cross-validation over {task.options.folds} folds")
        predicted = task.out_of_fold(lambda fitted, held: _predict_fold(task, settings, fitted, held))
        residuals = rows.targets[task.splits.fitted] - predicted
        return RatingFit(network=network, out_of_fold=predicted, half_width=half_width(residuals))

    def least_part(self, labels: Ratings) -> int:
        return 2

    def scores_of_part(
        self, task: Task[Ratings], settings: MlpSettings, part: NDArray[np.int64]
    ) -> Mapping[str, float]:
        rows = _weighted(task)
        layers = fit_mlp(rows.take(part), rows.take(task.splits.validation), settings).layers
        return {
            name: float(np.abs(rows.targets[some] - layer_scores(layers, rows.inputs[some])).mean())
            for name, some in (("train", part), ("kept out", task.splits.test))
        }

    def export(self, task: Task[Ratings], settings: MlpSettings, fit: RatingFit) -> Exported:
        options = task.options
        return export_attractiveness_artifact(
            fit.network.layers,
            fit.out_of_fold,
            options.origin("an MLP", task.faces.encoder_id),
            options.out,
            task.say,
            task.test_inputs(),
            half_width=fit.half_width,
            reads=task.faces.encoder_id,
            options=task.record(settings=asdict(settings), coverage=COVERAGE),
        )

    def findings(
        self,
        task: Task[Ratings],
        settings: MlpSettings,
        fit: RatingFit,
        served: Served,
        sizes: Mapping[str, list[float]],
    ) -> Findings:
        targets = task.labels.means[task.splits.test]
        predicted = served[ATTRACTIVENESS_SCORE.name][:, 0].astype(np.float64)
        hits = covered(served[ATTRACTIVENESS_INTERVAL.name], targets)

        def figures(rows: NDArray[np.int64]) -> dict[str, Figure]:
            return {
                **regression_figures(targets[rows], predicted[rows]),
                "interval_coverage": share_with_interval(hits[rows]),
            }

        losses = {"train": fit.network.train_losses, "validation": fit.network.validation_losses}
        errors = {name: sizes[name] for name in ("train", "kept out")}
        return Findings(
            about=f"An MLP {' - '.join(str(width) for width in settings.hidden)} on the embedding, with a conformal "
            f"interval of {COVERAGE:.0%} (plus or minus {fit.half_width:.3g}) and a percentile among "
            f"{len(fit.out_of_fold)} out-of-fold scores.",
            settings={
                **asdict(settings),
                "folds": task.options.folds,
                "trials": task.options.trials,
                "coverage": COVERAGE,
            },
            figures=figures,
            chance={"mean_absolute_error": constant_error(targets, 4)},
            curves={"epochs": losses},
            charts=[
                scatter(targets, predicted, fit.half_width, "Rating", "rating"),
                loss_curve(losses, fit.network.best_epoch, "mean squared error"),
                size_curve(sizes["sizes"], errors, "mean absolute error"),
            ],
            predictions=[
                Answer(
                    name="attractiveness",
                    title="attractiveness",
                    truth=targets.tolist(),
                    predicted=predicted.tolist(),
                    intervals=served[ATTRACTIVENESS_INTERVAL.name],
                )
            ],
        )


def train_attractiveness(faces: TrainingFaces, options: TrainingOptions, say: Say) -> Exported:
    """Train the attractiveness head; faces without a rating are left out. See `fstraining.heads.course.train`."""
    return train(_AttractivenessHead(), faces, options, say)


def _weighted(task: Task[Ratings]) -> Rows:
    """Return embeddings, mean ratings and how much each counts, raters' disagreement in mind.

    The spread of the ratings is that of the faces that may decide anything, not of those that figures are made on.
    """
    ratings = task.labels
    spread = float(ratings.means[task.splits.fitted].std())
    weights = label_weights(ratings.stds, ratings.counts, spread)
    return Rows(inputs=task.faces.embeddings, targets=ratings.means, weights=weights)


def _predict_fold(
    task: Task[Ratings], settings: MlpSettings, fitted: NDArray[np.int64], held: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the scores of held rows by a network that was neither fitted on them nor stopped by them."""
    rows = _weighted(task)
    stopping = task.splits.folds(fitted, _INNER_FOLDS, task.options.seed) == 0
    network = fit_mlp(rows.take(fitted[~stopping]), rows.take(fitted[stopping]), settings)
    return layer_scores(network.layers, rows.inputs[held])
