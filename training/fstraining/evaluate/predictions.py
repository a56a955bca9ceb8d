"""What a head answers for the faces kept out of training, beside their labels, as Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsdata.labels.splits import TEST
from fsdata.labels.training_faces import TrainingFaces
from fsengine.errors import InvalidInputError
from fsengine.files.atomic import temporary_file
from fstraining.data.groups import groups_of

PREDICTIONS_FILE = "predictions.parquet"
_KEYS = ("source", "face_index")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One thing that a head answers, for N faces.

    Attributes:
        name: Of its columns.
        title: What it is called for people.
        truth: Labels, N names or numbers.
        predicted: Answers as served, N of the same kind.
        probabilities: float64 (N, C) of the classes; None of a number.
        classes: C names; empty of a number.
        intervals: float (N, 2), low and high; None where there is none.
        unit: Of a number.
    """

    name: str
    title: str
    truth: Sequence[str] | Sequence[float]
    predicted: Sequence[str] | Sequence[float]
    probabilities: NDArray[np.float64] | None = None
    classes: Sequence[str] = ()
    intervals: NDArray[np.floating[Any]] | None = None
    unit: str = ""

    def errors(self) -> NDArray[np.float64]:
        """Return float64 (N,), how wrong each answer is: the distance, or the probability that the label missed."""
        if self.probabilities is None:
            return np.asarray(np.abs(np.asarray(self.truth, np.float64) - np.asarray(self.predicted, np.float64)))
        of_label = [self.classes.index(str(name)) for name in self.truth]
        return np.asarray(1.0 - self.probabilities[np.arange(len(of_label)), of_label])

    def told(self, row: int) -> str:
        """Return label and answer of a face in words."""
        if self.probabilities is None:
            text = f"labelled {self.truth[row]:.2f}, predicted {self.predicted[row]:.2f}"
            return f"{text} {self.unit}".strip()
        return f"labelled {self.truth[row]}, predicted {self.predicted[row]} ({self.probabilities[row].max():.2f})"


def write_predictions(path: Path, faces: TrainingFaces, answers: Sequence[Answer], about: Mapping[str, str]) -> None:
    """Write a row for each face kept out of training: where it is, its labels, what the head answers, its groups.

    Args:
        path: File to write.
        faces: Those kept out.
        answers: Of them, in their order.
        about: What the file's metadata says, the id of the model among it.
    """
    columns: dict[str, Any] = {
        "source": pa.array([place.source for place in faces.places] or _paths(faces), pa.string()),
        "face_index": pa.array([place.face_index for place in faces.places], pa.int32())
        if faces.places
        else pa.nulls(len(faces.records), pa.int32()),
        "split": [TEST] * len(faces.records),
    }
    metadata = {f"facestats.{name}": value for name, value in about.items()}
    for answer in answers:
        columns[f"{answer.name}_truth"] = list(answer.truth)
        columns[f"{answer.name}_predicted"] = list(answer.predicted)
        if answer.probabilities is not None:
            columns[f"{answer.name}_probability"] = pa.array(
                list(answer.probabilities), pa.list_(pa.float64(), len(answer.classes))
            )
            metadata[f"facestats.{answer.name}.classes"] = "\n".join(answer.classes)
        if answer.intervals is not None:
            ends = answer.intervals.astype(np.float64)
            columns[f"{answer.name}_low"], columns[f"{answer.name}_high"] = ends[:, 0], ends[:, 1]
    for attribute, groups in groups_of(faces.records).items():
        columns[f"group_{attribute}"] = pa.array(groups, pa.string())
    table = pa.table(columns).replace_schema_metadata(metadata)
    with temporary_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_predictions(path: Path) -> pa.Table:
    """Return what `write_predictions` wrote.

    Raises:
        InvalidInputError: It cannot be read, or is something else.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as exc:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {exc}; train the head again") from exc
    if missing := [name for name in _KEYS if name not in table.column_names]:
        raise InvalidInputError(f"{path} has no column {missing[0]}; expected predictions that fstrain wrote")
    return table


def _paths(faces: TrainingFaces) -> list[str]:
    return [str(record.path) for record in faces.records]
