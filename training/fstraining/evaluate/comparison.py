"""Two trainings of one head beside each other: what they say of themselves, and what differs on faces both kept out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsdata.pictures.html_page import rendered_page
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import printable
from fstraining.evaluate.figures import value_with_interval
from fstraining.evaluate.predictions import PREDICTIONS_FILE, read_predictions
from fstraining.evaluate.training_report import REPORT_FILE, REPORT_FOLDER

LEAST_PAIRED = 10
"""Faces below which a paired difference says more about chance than about the heads."""
_MOST_FLIPS = 20
_TRUTH, _PREDICTED = "_truth", "_predicted"
_NEEDED = ("head", "figures", "chance", "data", "settings", "marks")

Row = tuple[object, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training.

    Attributes:
        name: Of its folder.
        report: Its report.json.
        predictions: Of the faces it kept out; None where they are not there.
    """

    name: str
    report: Mapping[str, Any]
    predictions: pa.Table | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """What differs between two runs in one answer, on faces that both kept out.

    Attributes:
        answer: What is answered.
        quantity: What differs: a share right, or a mean absolute error.
        number: Faces.
        first: Of the first run.
        second: Of the second run.
        difference: Second less first: value and interval; None of too few faces.
        flips: How many faces changed, by how.
    """

    answer: str
    quantity: str
    number: int
    first: float
    second: float
    difference: Mapping[str, Any] | None
    flips: Sequence[tuple[str, int]]


def read_run(path: Path) -> Run:
    """Return a training by the folder of its head, that of its report, or its report.json.

    Raises:
        InvalidInputError: There is no report of a training, or it is damaged.
    """
    places = [path, path / REPORT_FILE, path / REPORT_FOLDER / REPORT_FILE]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise InvalidInputError(f"{path} holds no {REPORT_FOLDER}/{REPORT_FILE}; give the --out of a fstrain command")
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise InvalidInputError(f"{file} cannot be read as JSON: {exc}; train the head again") from exc
    if not isinstance(report, dict) or (missing := [name for name in _NEEDED if name not in report]):
        told = f"has no {missing[0]}" if isinstance(report, dict) else "is no object"
        raise InvalidInputError(f"{file} {told}; expected a report that fstrain wrote")
    predictions = file.parent / PREDICTIONS_FILE
    folder = file.absolute().parent
    return Run(
        name=folder.parent.name if folder.name == REPORT_FOLDER else folder.name,
        report=report,
        predictions=read_predictions(predictions) if predictions.exists() else None,
    )


def comparison_page(first: Run, second: Run) -> str:
    """Return two runs beside each other as one HTML file. The same runs give the same bytes.

    Raises:
        InvalidInputError: They are of different heads, or their predictions are damaged.
        MissingDependencyError: A library of the extra `training` is not installed.
    """
    heads = [run.report["head"] for run in (first, second)]
    if heads[0] != heads[1]:
        told = f"{first.name} is a head of {heads[0]}, {second.name} one of {heads[1]}"
        raise InvalidInputError(f"{told}; expected two trainings of one head")
    paired = paired_differences(first, second)
    try:
        return _rendered(first, second, paired)
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        told = f"the reports of {first.name} and {second.name} do not hold what fstrain writes: {exc}"
        raise InvalidInputError(f"{told}; train the heads again") from exc


def paired_differences(first: Run, second: Run) -> list[PairedDifference]:
    """Return what differs on the faces that both kept out and label alike; nothing without predictions of both."""
    if first.predictions is None or second.predictions is None:
        return []
    tables = (first.predictions, second.predictions)
    answers = [
        name.removesuffix(_TRUTH)
        for name in tables[0].column_names
        if name.endswith(_TRUTH) and name in tables[1].column_names
    ]
    return [_paired(answer, *(_answers(table, answer) for table in tables)) for answer in answers]


def _rendered(first: Run, second: Run, paired: Sequence[PairedDifference]) -> str:
    reports = (first.report, second.report)
    values = {
        "title": f"{first.report['head']}: two trainings",
        "runs": [{"name": printable(run.name), **run.report} for run in (first, second)],
        "figures": list(dict.fromkeys(name for report in reports for name in report["figures"])),
        "settings": sorted({name for report in reports for name in report["settings"]}),
        "paired": paired,
        "without": [run.name for run in (first, second) if run.predictions is None],
        "least_paired": LEAST_PAIRED,
    }
    return rendered_page("fstraining.evaluate", "compare.html.j2", values)


def _answers(table: pa.Table, answer: str) -> dict[Row, Row]:
    """Return label and answer of each face."""
    names = ("source", "face_index", answer + _TRUTH, answer + _PREDICTED)
    if names[-1] not in table.column_names:
        raise InvalidInputError(f"predictions have {names[-2]} and no {names[-1]}; train the head again")
    columns = [table[name].to_pylist() for name in names]
    return {(source, face): (truth, predicted) for source, face, truth, predicted in zip(*columns, strict=True)}


def _paired(answer: str, first: Mapping[Row, Row], second: Mapping[Row, Row]) -> PairedDifference:
    faces = [face for face in first if face in second and first[face][0] == second[face][0]]
    labels = [first[face][0] for face in faces]
    told = [(first[face][1], second[face][1]) for face in faces]
    flips: Counter[str] = Counter()
    if all(isinstance(label, str) for label in labels):
        quantity = "share right"
        scores = np.array([[a == label, b == label] for label, (a, b) in zip(labels, told, strict=True)], np.float64)
        for label, (a, b) in zip(labels, told, strict=True):
            if a != b:
                flips[f"labelled {label}: {a}, then {b}"] += 1
    else:
        quantity = "mean absolute error"
        scores = np.abs(np.array(told, np.float64) - np.array(labels, np.float64)[:, None])
        flips["nearer to the label in the second"] = int((scores[:, 1] < scores[:, 0]).sum())
        flips["nearer to the label in the first"] = int((scores[:, 1] > scores[:, 0]).sum())
    means = scores.mean(axis=0) if len(faces) else (0.0, 0.0)
    gaps = scores[:, 1] - scores[:, 0] if len(faces) else np.zeros(0)

    def mean_gap(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(gaps[rows].mean(axis=1))

    return PairedDifference(
        answer=answer.replace("_", " "),
        quantity=quantity,
        number=len(faces),
        first=float(means[0]),
        second=float(means[1]),
        difference=value_with_interval(mean_gap, len(faces)) if len(faces) >= LEAST_PAIRED else None,
        flips=sorted(flips.items(), key=lambda flip: (-flip[1], flip[0]))[:_MOST_FLIPS],
    )
