"""The labelled FairFace crops that the `demo` pack's heads are fitted on, and how they are split."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from fsengine.errors import InvalidInputError

# Middle of each age bucket of FairFace, in years.
AGE_YEARS = {
    "0-2": 1.5,
    "3-9": 6.5,
    "10-19": 15.0,
    "20-29": 25.0,
    "30-39": 35.0,
    "40-49": 45.0,
    "50-59": 55.0,
    "60-69": 65.0,
    "70+": 76.0,
}


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
        age_years: Middle of its age bucket.
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
        age_years=AGE_YEARS[row["age_bucket"]],
        ethnicity=row["race"],
        split=split_of(path.read_bytes()),
    )


def split_of(content: bytes) -> Split:
    """Return the split of a crop by its content, so that a copy of it is never on both sides."""
    tenth = int(hashlib.sha256(content).hexdigest(), 16) % 10
    if tenth < 6:
        return Split.FIT
    return Split.CALIBRATE if tenth == 6 else Split.TEST
