"""Photos as the detect step sees them, made with Pillow instead of DALI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX


def detector_square(photo: Path) -> NDArray[np.uint8]:
    """Return uint8 (640, 640, 3): the upright photo, ratio kept, top left, zero padding."""
    with Image.open(photo) as file:
        upright = ImageOps.exif_transpose(file).convert("RGB")
    scale = DETECTOR_SIDE_PX / max(upright.size)
    width, height = (max(round(side * scale), 1) for side in upright.size)
    square = np.zeros((DETECTOR_SIDE_PX, DETECTOR_SIDE_PX, 3), np.uint8)
    square[:height, :width] = np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))
    return square


def rows_of(outputs: list[Any], photo: int) -> Any:
    """Return float32 (F, 15) of one photo of what a detect graph gave: box, landmarks, score."""
    boxes, landmarks, scores, _ = (output[photo] for output in outputs)
    count = int((scores > 0).sum())
    return np.concatenate([boxes, landmarks.reshape(-1, 10), scores[:, None]], axis=1)[:count]
