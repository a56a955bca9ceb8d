"""The labelled FairFace crops that the `demo` pack's heads are fitted on, and how they are split."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.known_labels import FAIRFACE_AGES
from fsengine.contracts.steps import DETECTOR_INPUT, detected
from fsengine.errors import InvalidInputError
from fsexport.inputs.decoded_photos import decoded

_BUCKETS = {bucket.short_name: bucket for bucket in FAIRFACE_AGES}


class Split(str, Enum):
    """What a crop is for: fitting, choosing the temperature, or measuring."""

    FIT = "fit"
    CALIBRATE = "calibrate"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFace:
    """One labelled crop.

    Attributes:
        path: Where it lies.
        gender: `female` or `male`.
        age_years: Mean age of its bucket, see `fsdata.labels.known_labels`.
        ethnicity: One of FairFace's seven classes.
        split: What it is for.
    """

    path: Path
    gender: str
    age_years: float
    ethnicity: str
    split: Split


def read_fairface(labels: Path) -> list[LabelledFace]:
    """Read the FairFace rows of a label table (columns file, dataset, age_bucket, gender, race).

    Args:
        labels: The table, tab-separated; files are relative to the folder above its own.

    Raises:
        InvalidInputError: The table cannot be read, or has other columns or labels.
    """
    try:
        with labels.open(newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["dataset"] == "fairface"]
        return [_face(row, labels.parent.parent) for row in rows]
    except (OSError, KeyError) as exc:
        raise InvalidInputError(
            f"{labels} cannot be read: {exc!r}; expected a table with file, dataset, age_bucket, gender, race"
        ) from exc


def _face(row: dict[str, str], root: Path) -> LabelledFace:
    path = root / row["file"]
    return LabelledFace(
        path=path,
        gender=row["gender"],
        age_years=_BUCKETS[row["age_bucket"]].mean_years,
        ethnicity=row["race"],
        split=split_of(path.read_bytes()),
    )


def split_of(content: bytes) -> Split:
    """Return the split of a crop by its content, so that a copy of it is never on both sides."""
    tenth = int(hashlib.sha256(content).hexdigest(), 16) % 10
    if tenth < 6:
        return Split.FIT
    return Split.CALIBRATE if tenth == 6 else Split.TEST


def largest_faces(paths: Iterable[Path], detect: Path, align: Path) -> Iterator[NDArray[np.uint8] | None]:
    """Yield the encoder's crop of the largest face of each photo, or None where none is found.

    Args:
        paths: Photos.
        detect: The detect graph.
        align: The align graph.

    Returns:
        Crops, uint8 (S, S, 3), RGB.
    """
    import onnxruntime as ort

    detector, aligner = (
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (detect, align)
    )
    for photo in decoded(paths):
        if photo is None:
            yield None
            continue
        boxes, landmarks, scores = detector.run(
            [tensor.name for tensor in detected(1)], {DETECTOR_INPUT.name: photo.pop(DETECTOR_INPUT.name)}
        )
        count = int((scores > 0).sum())
        if not count:
            yield None
            continue
        sides = boxes[0, :count, 2:] - boxes[0, :count, :2]
        largest = int(sides.prod(axis=1).argmax())
        only = np.zeros_like(scores)
        only[0, 0] = scores[0, largest]
        boxes[0, 0], landmarks[0, 0] = boxes[0, largest], landmarks[0, largest]
        feed = {**photo, "detected_box": boxes, "detected_landmarks": landmarks, "detected_score": only}
        yield aligner.run(["portrait_crop"], feed)[0][0]
