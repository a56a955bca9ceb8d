"""How far an answer may be from the golden one, by what it is and the precision of its step.

Boxes, score and cosine are what users notice: a pixel of the detector's 640, a hundredth, and for the embedding
1 - cos = 5e-4, an angle of 1.8 degrees. Measured on an H100 in ONNX Runtime (docs/guides/gpu.md): 0.06 px, 3e-4 and
4e-7 with TF32; 0.14 px and 2e-3 with fp16.

An ensemble starts from its own decoding and finds its own faces, so that what comes after moves with its boxes. On an
H200, nvJPEG before ONNX Runtime: boxes 0.06 to 0.39 px off, embeddings 1e-4 to 1.5e-3, ages 0.2 to 0.8 years, crops up
to 14 levels, with every step within its bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts import steps

_QUANTIZED = ("int8", "int8-symmetric", "fp8")


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest difference that is accepted.

    Attributes:
        most: In `unit`; cosines may fall by as much below 1.
        unit: For people.
        quantized: The same for a step whose graph is quantized.
    """

    most: float
    unit: str
    quantized: float

    def limit(self, precision: str) -> float:
        """Return the largest difference for a precision of `fsengine.packs.pack.PRECISIONS`."""
        return self.quantized if precision in _QUANTIZED else self.most


COSINE = "1 - cos"
DETECTOR_PX = "detector px"
LEVELS = "levels"

_EXACT = Bound(0.0, "", 0.0)
_PLACE = Bound(1.0, DETECTOR_PX, 1.0)
_SCORE = Bound(0.01, "", 0.01)
_PROBABILITY = Bound(0.02, "", 0.1)
_YEARS = Bound(0.5, "years", 3.0)
_PICTURE = Bound(3.0, LEVELS, 3.0)

BOUNDS = {
    "image_size": _EXACT,
    "faces_truncated": _EXACT,
    "face_count": _EXACT,
    "detector_scale": Bound(1e-4, "", 1e-4),
    "image": _PICTURE,
    "detector_input": _PICTURE,
    "portrait_crop": _PICTURE,
    "age_gender_crop": _PICTURE,
    "aligned_face": _PICTURE,
    "detected_box": _PLACE,
    "detected_landmarks": _PLACE,
    "detected_score": _SCORE,
    "face_box": _PLACE,
    "face_landmarks": _PLACE,
    "face_score": _SCORE,
    "face_embedding": Bound(5e-4, COSINE, 2e-3),
    "attractiveness": Bound(0.05, "", 0.2),
    "attractiveness_interval": Bound(0.05, "", 0.2),
    "attractiveness_percentile": Bound(3.0, "points", 10.0),
    "ethnicity_probability": _PROBABILITY,
    steps.FIL_OUTPUT: _PROBABILITY,
    "gender_probability": _PROBABILITY,
    "age_years": _YEARS,
    "age_interval_years": _YEARS,
}
"""Output to its bound. Left out: the decile, a rank that jumps where a score lies at its border; copies of outputs."""


ENSEMBLE_BOUNDS = {
    **BOUNDS,
    "aligned_face": Bound(40.0, LEVELS, 40.0),
    "face_embedding": Bound(5e-3, COSINE, 1e-2),
    "attractiveness": Bound(0.2, "", 0.4),
    "attractiveness_interval": Bound(0.2, "", 0.4),
    "attractiveness_percentile": Bound(10.0, "points", 20.0),
    "ethnicity_probability": Bound(0.1, "", 0.2),
    "gender_probability": Bound(0.1, "", 0.2),
    "age_years": Bound(2.0, "years", 4.0),
    "age_interval_years": Bound(2.0, "years", 4.0),
}
"""The same of an ensemble."""


def difference(output: str, expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return how far an output is from the golden one, in the unit of its bound; NaN where it holds one.

    Args:
        output: Its name, of `BOUNDS`.
        expected: Of the golden answers, (N, ...).
        found: Of the server, of the same shape.
    """
    if BOUNDS[output].unit == COSINE:
        norms = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)
        cosine = (expected * found).sum(axis=-1) / np.maximum(norms, 1e-12)
        return float((1 - cosine).max(initial=0.0))
    return float(np.abs(found - expected).max(initial=0.0))
