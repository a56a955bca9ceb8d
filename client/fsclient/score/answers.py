"""What a caller gets for a photo: frozen, typed, with the pack's labels and thresholds applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsdata.results.rows import PhotoRow
from fsdata.results.status import Status
from fsengine.contracts.served import ETHNICITY, GENDER, ServedModels


class Point(NamedTuple):
    """A point in pixels of the upright full-size photo, the centre of the first pixel at 0."""

    x: float
    y: float


class Box(NamedTuple):
    """A rectangle in pixels of the upright full-size photo: left, top, right and bottom edge."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """One face. What the served models do not give is None.

    Attributes:
        box: Where it is.
        landmarks: Eye, eye, nose tip, mouth corner, mouth corner; the first of a pair lies left on an upright face.
        score: The detector's confidence, 0 to 1.
        embedding: float32 (D,), L2-normalized.
        age_years: Age in years.
        age_interval_years: Low and high end of the age's 90 % interval.
        gender: The likelier class, or `uncertain` below the pack's threshold.
        gender_probability: Class to probability; they sum to 1.
        ethnicity: The likeliest class, or `uncertain` below the pack's threshold.
        ethnicity_probability: Class to probability; they sum to 1.
        attractiveness: On the head's own scale.
        attractiveness_percentile: 0 to 100, share of the head's reference distribution at or below the score.
        attractiveness_decile: 1 to 10, the tenth of the reference distribution that the score lies in.
        attractiveness_interval: Low and high end of the score's 90 % interval.
    """

    box: Box
    landmarks: tuple[Point, ...]
    score: float
    embedding: NDArray[np.float32] | None = None
    age_years: float | None = None
    age_interval_years: tuple[float, float] | None = None
    gender: str | None = None
    gender_probability: Mapping[str, float] | None = None
    ethnicity: str | None = None
    ethnicity_probability: Mapping[str, float] | None = None
    attractiveness: float | None = None
    attractiveness_percentile: float | None = None
    attractiveness_decile: int | None = None
    attractiveness_interval: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is known of the face as values that `json.dumps` takes; what is None is left out."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: _plain(value) for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredPhoto:
    """One photo and its faces.

    Attributes:
        source: Path of its file as text; None where it was given as bytes or pixels.
        status: What became of it; only `ok` has faces.
        reason: Why, where the status is neither `ok` nor `no_face`.
        converted: Why the decoder got another form of it than was given, for example `ICC profile`; None where it got
            it as it is.
        width: Of the upright photo in pixels; None where it was not decoded.
        height: The same.
        faces: Its faces, the detector's surest first.
        faces_truncated: Whether it had more faces than the models' limit, and the rest were left out.
        model_set_id: Which models these answers are of; answers of different sets do not compare.
        marks: What a reader must know of the answers, each mark with the steps that it is about.
    """

    source: str | None
    status: Status
    reason: str | None
    width: int | None
    height: int | None
    faces: tuple[Face, ...]
    faces_truncated: bool
    model_set_id: str
    marks: Mapping[str, list[str]] = field(default_factory=dict)
    converted: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the photo as values that `json.dumps` takes, the fields of `fsclient score --json`."""
        return {
            "source": self.source,
            "status": self.status.value,
            "reason": self.reason,
            "converted": self.converted,
            "width": self.width,
            "height": self.height,
            "faces_truncated": self.faces_truncated,
            "model_set_id": self.model_set_id,
            "marks": dict(self.marks),
            "faces": [face.to_dict() for face in self.faces],
        }


def scored_photo(row: PhotoRow, models: ServedModels) -> ScoredPhoto:
    """Return a row as the answer for a caller.

    Args:
        row: The photo's row.
        models: What was served.
    """
    return ScoredPhoto(
        source=row.photo.source or None,
        status=row.status,
        reason=row.reason,
        width=row.width,
        height=row.height,
        faces=tuple(_face(row.faces, index, models) for index in range(row.num_faces)),
        faces_truncated=row.faces_truncated,
        model_set_id=models.model_set_id,
        marks=models.marks,
        converted=row.converted,
    )


def _face(arrays: Mapping[str, NDArray[np.float32]], index: int, models: ServedModels) -> Face:
    """Return one face of a photo from the ensemble's outputs, each float32 (F, ...)."""

    def row(name: str) -> NDArray[np.float32] | None:
        return arrays[name][index] if name in arrays else None

    def number(name: str) -> float | None:
        return None if (found := row(name)) is None else float(found.reshape(-1)[0])

    def interval(name: str) -> tuple[float, float] | None:
        return None if (found := row(name)) is None else (float(found[0]), float(found[1]))

    def classes(name: str, head: str) -> tuple[str | None, dict[str, float] | None]:
        if (found := row(name)) is None:
            return None, None
        return models.label_of(head, found.tolist()), dict(zip(models.labels[head], found.tolist(), strict=True))

    gender, gender_probability = classes("gender_probability", GENDER)
    ethnicity, ethnicity_probability = classes("ethnicity_probability", ETHNICITY)
    decile = number("attractiveness_decile")
    return Face(
        box=Box(*arrays["face_box"][index].tolist()),
        landmarks=tuple(Point(*point) for point in arrays["face_landmarks"][index].tolist()),
        score=float(arrays["face_score"][index].reshape(-1)[0]),
        embedding=row("face_embedding"),
        age_years=number("age_years"),
        age_interval_years=interval("age_interval_years"),
        gender=gender,
        gender_probability=gender_probability,
        ethnicity=ethnicity,
        ethnicity_probability=ethnicity_probability,
        attractiveness=number("attractiveness"),
        attractiveness_percentile=number("attractiveness_percentile"),
        attractiveness_decile=None if decile is None else round(decile),
        attractiveness_interval=interval("attractiveness_interval"),
    )


def _plain(value: Any) -> Any:
    """Return a field's value in the types of JSON."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
