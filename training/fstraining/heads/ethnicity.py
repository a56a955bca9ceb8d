"""Train the ethnicity head: LightGBM on the embedding, class weights, calibration, an abstain threshold."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.record import LabelledPhoto
from fsdata.labels.training_faces import TrainingFaces
from fsengine.contracts.steps import ETHNICITY
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import Say
from fsexport.artifact.exported import Exported, file_hashes
from fsexport.heads.forest_artifact import export_forest_artifact
from fsexport.heads.trees import FAIRFACE_CLASSES, checkpoint_probabilities, fold_temperature, import_lightgbm
from fstraining.evaluate.figures import constant_share, share_with_interval
from fstraining.evaluate.metrics import Figure, class_figures, confusion, reliability
from fstraining.evaluate.predictions import Answer
from fstraining.evaluate.training_charts import confusion_matrix, loss_curve, reliability_diagram, size_curve
from fstraining.fits.forest import ClassRows, ForestFit, ForestSettings, best_temperature, best_threshold, grow_forest
from fstraining.heads.course import Findings, Head, Served, Task, train
from fstraining.heads.training_options import TrainingOptions

if TYPE_CHECKING:
    import optuna

_PROBABILITIES = "probabilities"


@dataclass(frozen=True, slots=True, kw_only=True)
class EthnicityLabels:
    """The classes by name, and the class of each face, int64 (N,)."""

    names: list[str]
    classes: NDArray[np.int64]

    @property
    def array(self) -> NDArray[np.int64]:
        """Return the classes."""
        return self.classes


@dataclass(frozen=True, slots=True, kw_only=True)
class EthnicityFit:
    """The forest with its temperature folded in, and the probability below which it abstains."""

    forest: ForestFit
    temperature: float
    threshold: float


class _EthnicityHead(Head[EthnicityLabels, ForestSettings, EthnicityFit]):
    """A forest stopped early, then calibrated and given its threshold on the faces that stopped it."""

    step = ETHNICITY
    title = "ethnicity"
    unlabelled = "without an ethnicity"
    answers: ClassVar[Mapping[str, Sequence[str]]] = {"": ("accuracy", "balanced_accuracy")}
    leading: ClassVar[Mapping[str, str]] = {"balanced_accuracy": "", "accuracy": ""}
    limits = (
        "The classes are those that annotators of the data set gave to photos; they are no fact about a person's "
        "origin.",
        "Faces that fit none of the classes get one all the same, or the head abstains.",
        "Below its threshold the head abstains: no class is named, and the probabilities stay for whoever wants them.",
    )

    def is_labelled(self, record: LabelledPhoto) -> bool:
        return record.ethnicity is not None

    def class_of(self, record: LabelledPhoto) -> str | None:
        return record.ethnicity

    def read_labels(self, records: Sequence[LabelledPhoto], say: Say) -> EthnicityLabels:
        names = _class_names({str(record.ethnicity) for record in records})
        if others := sorted(set(names) - set(FAIRFACE_CLASSES)):
            say(f"note: {', '.join(others)} are none of FairFace's classes; do not mix data sets of different classes")
        return EthnicityLabels(
            names=names, classes=np.array([names.index(str(record.ethnicity)) for record in records])
        )

    def choose_settings(self, task: Task[EthnicityLabels]) -> ForestSettings:
        settings = ForestSettings(seed=task.options.seed)
        if not task.options.trials:
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
            return min(_grow(task, drawn, task.rows).losses["validation"])

        return replace(settings, **task.search(loss, f"ethnicity, data {task.data.digest}"))

    def fit(self, task: Task[EthnicityLabels], settings: ForestSettings) -> EthnicityFit:
        forest = _grow(task, settings, task.rows)
        held = _rows(task, task.splits.validation)
        temperature = best_temperature(np.asarray(forest.booster.predict(held.features, raw_score=True)), held.classes)
        fold_temperature(forest.booster, temperature)
        threshold = task.options.threshold
        if threshold is None:
            threshold = best_threshold(np.asarray(forest.booster.predict(held.features)), held.classes)
        return EthnicityFit(forest=forest, temperature=temperature, threshold=threshold)

    def least_part(self, labels: EthnicityLabels) -> int:
        return 2 * len(labels.names)

    def scores_of_part(
        self, task: Task[EthnicityLabels], settings: ForestSettings, part: NDArray[np.int64]
    ) -> Mapping[str, float]:
        booster = _grow(task, settings, part).booster
        scores = {}
        for name, some in (("train", part), ("kept out", task.splits.test)):
            predicted = np.asarray(booster.predict(task.embeddings(some))).argmax(axis=1)
            scores[name] = float((predicted == task.labels.classes[some]).mean())
        return scores

    def export(self, task: Task[EthnicityLabels], settings: ForestSettings, fit: EthnicityFit) -> Exported:
        options, encoder_id = task.options, task.faces.encoder_id
        with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
            text = Path(folder) / "forest.txt"
            fit.forest.booster.save_model(str(text))
            return export_forest_artifact(
                text,
                task.labels.names,
                replace(options.origin("LightGBM", encoder_id), sources=file_hashes(text)),
                options.out,
                task.say,
                threshold=fit.threshold,
                reads=encoder_id,
                options=task.record(settings=asdict(settings), temperature=fit.temperature),
            )

    def serve(self, artifact: Path, embeddings: NDArray[np.float32]) -> Served:
        return {_PROBABILITIES: checkpoint_probabilities(artifact, embeddings)}

    def findings(
        self,
        task: Task[EthnicityLabels],
        settings: ForestSettings,
        fit: EthnicityFit,
        served: Served,
        sizes: Mapping[str, list[float]],
    ) -> Findings:
        names, truth = task.labels.names, task.labels.classes[task.splits.test]
        probabilities = served[_PROBABILITIES].astype(np.float64)
        predicted = probabilities.argmax(axis=1)
        sure = probabilities.max(axis=1) >= fit.threshold

        def figures(rows: NDArray[np.int64]) -> dict[str, Figure]:
            found = dict(class_figures(truth[rows], probabilities[rows]))
            found["share_not_abstained"] = share_with_interval(sure[rows])
            accepted = rows[sure[rows]]
            if len(accepted) >= 2:
                found["accuracy_where_not_abstained"] = share_with_interval(predicted[accepted] == truth[accepted])
            return found

        curve = reliability(truth, probabilities)
        shares = {name: sizes[name] for name in ("train", "kept out")}
        return Findings(
            about=f"LightGBM on the embedding, {len(names)} classes, temperature {fit.temperature:.3f} folded into the "
            f"leaves; it abstains below a probability of {fit.threshold:.3f}.",
            settings={
                **asdict(settings),
                "rounds": fit.forest.booster.num_trees() // len(names),
                "temperature": round(fit.temperature, 6),
                "threshold": fit.threshold,
                "trials": task.options.trials,
            },
            figures=figures,
            chance={"accuracy": constant_share(truth, 4), "balanced_accuracy": round(1 / len(names), 4)},
            curves={"rounds": fit.forest.losses, "reliability": curve},
            charts=[
                confusion_matrix(confusion(truth, predicted, len(names)), names, "Confusion of the classes"),
                reliability_diagram(curve, "Reliability of the served head"),
                loss_curve(fit.forest.losses, fit.forest.best_round, "log loss", "round"),
                size_curve(sizes["sizes"], shares, "share right"),
            ],
            predictions=[
                Answer(
                    name="ethnicity",
                    title="ethnicity",
                    truth=[names[number] for number in truth],
                    predicted=[names[number] for number in predicted],
                    probabilities=probabilities,
                    classes=names,
                )
            ],
        )


def train_ethnicity(faces: TrainingFaces, options: TrainingOptions, say: Say) -> Exported:
    """Train the ethnicity head; faces without an ethnicity are left out. See `fstraining.heads.course.train`."""
    import_lightgbm()
    return train(_EthnicityHead(), faces, options, say)


def _class_names(found: set[str]) -> list[str]:
    """Return the classes of the data: FairFace's in their own order, others by name."""
    known = found <= set(FAIRFACE_CLASSES)
    names = [name for name in FAIRFACE_CLASSES if name in found] if known else sorted(found)
    if len(names) < 2:
        raise InvalidInputError(f"the faces are labelled {names}, expected two classes or more")
    return names


def _rows(task: Task[EthnicityLabels], rows: NDArray[np.int64]) -> ClassRows:
    return ClassRows(features=task.embeddings(rows), classes=task.labels.classes[rows])


def _grow(task: Task[EthnicityLabels], settings: ForestSettings, rows: NDArray[np.int64]) -> ForestFit:
    return grow_forest(_rows(task, rows), _rows(task, task.splits.validation), len(task.labels.names), settings)
