"""What the tensors of the ensembles mean, for everybody who reads them: units, order, ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the numbers of a tensor are.

    Attributes:
        text: Unit and order.
        low: The least value; None where there is no bound.
        high: The largest.
    """

    text: str
    low: float | None = None
    high: float | None = None


MEANINGS: Mapping[str, Meaning] = {
    "encoded_image": Meaning("bytes of an encoded photo as they lie in its file", 0, 255),
    "orientation": Meaning("how the stored pixels lie, in Exif's numbers; any other counts as 1, upright", 1, 8),
    "image_size": Meaning("width, height in pixels of the upright photo", 1),
    "faces_truncated": Meaning("whether the photo had more faces than the limit, and the rest were left out", 0, 1),
    "face_count": Meaning("faces; 0: the one row of every output per face is a placeholder", 0, 256),
    "face_box": Meaning("x0, y0, x1, y1 in pixels of the upright full-size photo", 0),
    "face_landmarks": Meaning(
        "x, y of eye, eye, nose, mouth corner, mouth corner; the first of a pair lies left on an upright face"
    ),
    "face_score": Meaning("0 to 1, the detector's confidence", 0, 1),
    "face_embedding": Meaning("L2-normalized", -1, 1),
    "attractiveness": Meaning("the head's own scale"),
    "attractiveness_percentile": Meaning(
        "0 to 100, share of the head's reference distribution at or below the score", 0, 100
    ),
    "attractiveness_decile": Meaning("1 to 10, the tenth of the reference distribution that the score lies in", 1, 10),
    "attractiveness_interval": Meaning("low and high end of the score's conformal interval"),
    "ethnicity_probability": Meaning("in the order of labels.ethnicity; sums to 1", 0, 1),
    "gender_probability": Meaning("in the order of labels.gender; sums to 1", 0, 1),
    "age_years": Meaning("years", 0),
    "age_interval_years": Meaning("years, low and high end of the age's conformal interval", 0),
    "aligned_face": Meaning("the encoder's view of the face, RGB", 0, 255),
}
"""Input or output of an ensemble to its meaning."""
