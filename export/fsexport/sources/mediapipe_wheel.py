"""The TFLite face models inside the mediapipe wheel: where they lie and what they must hash to.

The wheel is Apache-2.0. It is read as a zip file and never installed, because its dependencies clash with ours:
`pip download --no-deps mediapipe==0.10.14`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import ExportError, InvalidInputError

SOURCE = "mediapipe 0.10.14 (PyPI wheel, Apache-2.0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelModel:
    """One model file of the wheel.

    Attributes:
        member: Its path in the wheel.
        sha256: Hash of the file in mediapipe 0.10.14.
    """

    member: str
    sha256: str


FACE_DETECTION_SHORT_RANGE = WheelModel(
    member="mediapipe/modules/face_detection/face_detection_short_range.tflite",
    sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
)
"""float32 (1, 128, 128, 3) RGB in -1..1 to regressors (1, 896, 16) and logits (1, 896, 1)."""

FACE_DETECTION_FULL_RANGE = WheelModel(
    member="mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
    sha256="2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
)
"""float32 (1, 192, 192, 3) RGB in -1..1 to regressors (1, 2304, 16) and logits (1, 2304, 1)."""

FACE_LANDMARK = WheelModel(
    member="mediapipe/modules/face_landmark/face_landmark.tflite",
    sha256="1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
)
"""float32 (1, 192, 192, 3) RGB in 0..1 to 468 points x, y, z (1, 1, 1, 1404) in pixels and a presence logit."""


def read_wheel_model(sources: Sequence[Path], model: WheelModel) -> bytes:
    """Return the bytes of a model, checked against its hash.

    Args:
        sources: The mediapipe wheel, or the `.tflite` files of the models.
        model: Which model.

    Raises:
        InvalidInputError: If no source is such a file.
        ExportError: If the model in it is not the one of mediapipe 0.10.14.
    """
    name = model.member.rsplit("/", 1)[-1]
    source = next((path for path in sources if path.name == name), sources[0])
    try:
        if source.suffix == ".tflite":
            content = source.read_bytes()
        else:
            with zipfile.ZipFile(source) as wheel:
                content = wheel.read(model.member)
    except (OSError, zipfile.BadZipFile, KeyError) as exc:
        raise InvalidInputError(
            f"{source} gives no {model.member} ({exc}); expected the wheel of mediapipe 0.10.14: "
            "pip download --no-deps mediapipe==0.10.14"
        ) from exc
    found = hashlib.sha256(content).hexdigest()
    if found != model.sha256:
        raise ExportError(
            f"{model.member} in {source} has sha256 {found}, expected {model.sha256}; use mediapipe 0.10.14"
        )
    return content
