"""The course that training takes, whichever head it is: from labelled faces to an artifact with its report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.record import LabelledPhoto
from fsdata.labels.training_faces import TrainingFaces
from fsdata.pictures.html_page import PageFigure
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import Say, counted
from fsengine.terminal.tables import Table
from fsexport.artifact.exported import Exported, note_measured_marks
from fsexport.artifact.onnx_file import run_graph
from fsexport.heads.head_inputs import HeadInputs
from fstraining.data.face_splits import FaceSplits, growing_parts, split_faces
from fstraining.data.groups import groups_of
from fstraining.evaluate.constant import constant_marks
from fstraining.evaluate.metrics import Figure, group_table, meaningful
from fstraining.evaluate.predictions import PREDICTIONS_FILE, Answer, write_predictions
from fstraining.evaluate.training_report import TrainingData, TrainingReport, write_report
from fstraining.evaluate.worst_faces import worst_faces
from fstraining.fits.search import search
from fstraining.heads.training_options import TrainingOptions, describe_data

if TYPE_CHECKING:
    import optuna


class Labels(Protocol):
    """What a head learns, read from the records; a row for each face."""

    @property
    def array(self) -> NDArray[np.generic]:
        """Return the numbers that the hash of the data covers."""
        ...


LabelsT = TypeVar("LabelsT", bound=Labels)
SettingsT = TypeVar("SettingsT")
FitT = TypeVar("FitT")

Served = Mapping[str, NDArray[np.float32]]
"""Outputs of the exported artifact by name, a row for each face kept out of training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[LabelsT]):
    """What every stage of the course is given.

    Attributes:
        faces: Labelled faces.
        labels: Theirs.
        splits: Rows by what they are for.
        rows: int64 (N,), the rows that the head is fitted on.
        data: What the report says of the faces.
        options: How to train, and where the head goes.
        say: Called with each line for people.
    """

    faces: TrainingFaces
    labels: LabelsT
    splits: FaceSplits
    rows: NDArray[np.int64]
    data: TrainingData
    options: TrainingOptions
    say: Say

    def embeddings(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the embeddings of some rows, float32 (len(rows), D)."""
        return self.faces.embeddings[rows]

    def test_inputs(self) -> HeadInputs:
        """Return the embeddings on which the artifact is compared with the fit."""
        test = self.splits.test
        return HeadInputs(rows=self.embeddings(test), text=f"{len(test)} faces kept out of training")

    def record(self, **options: Any) -> dict[str, Any]:
        """Return how the head was made, for the artifact's record."""
        return {"data": self.data.digest, "seed": self.options.seed, **options}

    def out_of_fold(
        self, predict: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return predictions for the rows `splits.fitted`, each by a fit that did not see the row.

        Args:
            predict: Takes the rows to fit and the rows to predict, and gives float64 (rows to predict, ...).
        """
        kept = self.splits.fitted
        folds = self.splits.folds(kept, self.options.folds, self.options.seed)
        parts = [predict(kept[folds != fold], kept[folds == fold]) for fold in range(self.options.folds)]
        predicted = np.concatenate(parts)
        predicted[np.argsort(folds, kind="stable")] = predicted.copy()
        return predicted

    def search(self, loss: Callable[[optuna.Trial], float], about: str) -> dict[str, Any]:
        """Return the parameters of the trial with the least loss; `about` says what decides it beside the data."""
        trials = self.options.trials
        return search(
            loss,
            trials=trials,
            seed=self.options.seed,
            about=about,
            folder=self.options.work_folder,
            progress=lambda done, best: self.say(f"  trial {done} of {trials}: best loss {best:.4f}"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is to be said of a head; see `TrainingReport` for the attributes of the same names.

    Attributes:
        figures: Gives the figures of some of the faces kept out of training, by their position among these.
        predictions: What is answered for the faces kept out of training, what counts most first.
    """

    about: str
    settings: Mapping[str, Any]
    figures: Callable[[NDArray[np.int64]], dict[str, Figure]]
    chance: Mapping[str, float]
    curves: Mapping[str, Any]
    charts: Sequence[PageFigure]
    predictions: Sequence[Answer]


class Head(ABC, Generic[LabelsT, SettingsT, FitT]):
    """What is particular to a head; its methods are the stages of the course, in their order.

    Attributes:
        step: The step of the ensemble that it serves.
        title: What it is called for people.
        unlabelled: Why a face without its labels is left out.
        stops_early: Whether the faces for stopping and calibration are kept out of the fit.
        answers: What it answers (an empty text for one thing alone) to the figures that show whether it is better than
            a constant; see `constant_marks`.
        leading: The figures that a report shows first, the one that counts most at the top, with their units.
        limits: What a reader of its report must know, a sentence each.
    """

    step: ClassVar[str]
    title: ClassVar[str]
    unlabelled: ClassVar[str]
    stops_early: ClassVar[bool] = True
    answers: ClassVar[Mapping[str, Sequence[str]]]
    leading: ClassVar[Mapping[str, str]]
    limits: ClassVar[Sequence[str]]

    @abstractmethod
    def is_labelled(self, record: LabelledPhoto) -> bool:
        """Return whether a face has what the head learns."""

    def class_of(self, record: LabelledPhoto) -> str | None:
        """Return the class of a face that every split must have; None where a head learns no classes."""
        return None

    @abstractmethod
    def read_labels(self, records: Sequence[LabelledPhoto], say: Say) -> LabelsT:
        """Return the labels of faces that have them.

        Raises:
            InvalidInputError: There is nothing to learn from them.
        """

    @abstractmethod
    def choose_settings(self, task: Task[LabelsT]) -> SettingsT:
        """Return the settings that cross-validation or a search found, or the defaults."""

    @abstractmethod
    def fit(self, task: Task[LabelsT], settings: SettingsT) -> FitT:
        """Fit the head that is to be served, with its interval or its threshold."""

    @abstractmethod
    def least_part(self, labels: LabelsT) -> int:
        """Return how many faces the learning curve starts with at least."""

    @abstractmethod
    def scores_of_part(self, task: Task[LabelsT], settings: SettingsT, part: NDArray[np.int64]) -> Mapping[str, float]:
        """Return what the learning curve shows of a head that is fitted on some rows alone."""

    @abstractmethod
    def export(self, task: Task[LabelsT], settings: SettingsT, fit: FitT) -> Exported:
        """Write the artifact."""

    def serve(self, artifact: Path, embeddings: NDArray[np.float32]) -> Served:
        """Return what the artifact answers; a graph unless a head says otherwise."""
        return run_graph(artifact, {"face_embedding": embeddings})

    @abstractmethod
    def findings(
        self, task: Task[LabelsT], settings: SettingsT, fit: FitT, served: Served, sizes: Mapping[str, list[float]]
    ) -> Findings:
        """Compare what is served with the labels, and draw the pictures.

        Args:
            task: What was trained on.
            settings: How.
            fit: What came out of it.
            served: Answers for the rows `splits.test`.
            sizes: The learning curve: `sizes`, and a list for each name that `scores_of_part` gives.
        """


def train(head: Head[LabelsT, SettingsT, FitT], faces: TrainingFaces, options: TrainingOptions, say: Say) -> Exported:
    """Train a head, export it, and report on what is served.

    Args:
        head: What to train.
        faces: Faces; those without its labels are left out.
        options: How.
        say: Called with each line for people.

    Raises:
        InvalidInputError: The folder cannot be written into, there are too few labelled faces, or fewer than two
            classes have a face in every split.
        MissingDependencyError: A library of the extra `training` is not installed.
        ExportError: The exported head differs from the trained one.
    """
    with options.claimed_folder(head.step):
        return _train(head, faces, options, say)


def _train(head: Head[LabelsT, SettingsT, FitT], faces: TrainingFaces, options: TrainingOptions, say: Say) -> Exported:
    labelled = [head.is_labelled(record) for record in faces.records]
    faces = faces.take(np.flatnonzero(labelled), head.unlabelled)
    faces, splits = _with_whole_classes(head, faces, options.seed, say)
    labels = head.read_labels(faces.records, say)
    task = Task(
        faces=faces,
        labels=labels,
        splits=splits,
        rows=splits.train if head.stops_early else splits.fitted,
        data=describe_data(faces, splits, labels.array, options),
        options=options,
        say=say,
    )
    settings = head.choose_settings(task)
    say(f"training on {len(task.rows)} faces")
    fit = head.fit(task, settings)
    say("learning curve over the size of the training set")
    sizes = _size_curve(head, task, settings)
    exported = head.export(task, settings, fit)
    served = head.serve(options.out / exported.file, task.embeddings(splits.test))
    findings = head.findings(task, settings, fit, served, sizes)
    figures = meaningful(findings.figures(np.arange(len(splits.test))))
    marks = tuple(constant_marks(head.answers, figures, findings.chance))
    exported = note_measured_marks(exported, options.out, marks)
    kept_out = faces.take(splits.test, "")
    report = TrainingReport(
        head=head.title,
        about=findings.about,
        data=task.data,
        settings=findings.settings,
        figures=figures,
        chance=findings.chance,
        marks=marks,
        groups=group_table(groups_of(kept_out.records), findings.figures),
        curves={**findings.curves, "sizes": sizes},
        limits=head.limits,
        charts=findings.charts,
        leading=head.leading,
        model=exported.sha256,
        worst=worst_faces(kept_out, findings.predictions) if options.shows_faces else (),
    )
    write_report(report, options.report_folder, say)
    about = {"head": head.title, "model": exported.sha256, "encoder": faces.encoder_id, "data": task.data.digest}
    write_predictions(options.report_folder / PREDICTIONS_FILE, kept_out, findings.predictions, about)
    _say_figures(report, len(splits.test), say)
    return exported


def _with_whole_classes(
    head: Head[LabelsT, SettingsT, FitT], faces: TrainingFaces, seed: int, say: Say
) -> tuple[TrainingFaces, FaceSplits]:
    """Split faces, without those of a class that has none in some split: it could not be learnt, or not measured.

    Raises:
        InvalidInputError: Fewer than two classes are left, or too few faces.
    """
    while True:
        splits = split_faces(faces, seed)
        classes = [head.class_of(record) for record in faces.records]
        everywhere = set.intersection(
            *({classes[row] for row in rows} for rows in (splits.train, splits.validation, splits.test))
        )
        partial = sorted({str(name) for name in classes if name not in everywhere})
        if not partial:
            return faces, splits
        told = ", ".join(f"{name} ({counted(classes.count(name), 'face')})" for name in partial)
        if len(everywhere) < 2:
            raise InvalidInputError(
                f"{told} without a face in training, calibration and figures each, and fewer than two classes are "
                "left; give more faces of them"
            )
        say(f"warning: left out, without a face in training, calibration and figures each: {told}")
        for name in partial:
            rows = np.flatnonzero([head.class_of(record) != name for record in faces.records])
            faces = faces.take(rows, f"of {name}, a class without a face in every split")


def _say_figures(report: TrainingReport, count: int, say: Say) -> None:
    """Show the figures and what they say of the head."""
    say(f"figures on {counted(count, 'face')} kept out of training, as served:")
    rows = [
        (
            name.replace("_", " "),
            f"{figure['value']:g}",
            f"{figure['interval'][0]:g} to {figure['interval'][1]:g}",
            f"{report.chance[name]:g}" if name in report.chance else "",
        )
        for name, figure in report.figures.items()
    ]
    header = ("figure", "value", "95 % interval", "best constant answer")
    for line in Table(rows=rows, align="lrrr", header=header, indent=2).plain_lines():
        say(line)
    for mark in report.marks:
        say(f"warning: {report.head}: {mark}; the head is marked so wherever it is served")


def _size_curve(
    head: Head[LabelsT, SettingsT, FitT], task: Task[LabelsT], settings: SettingsT
) -> dict[str, list[float]]:
    """Return the scores of heads that are fitted on ever more faces, by name, beside `sizes`."""
    parts = list(growing_parts(task.rows, head.least_part(task.labels), task.options.seed))
    scores = [head.scores_of_part(task, settings, part) for part in parts]
    return {"sizes": [len(part) for part in parts], **{name: [row[name] for row in scores] for name in scores[0]}}
