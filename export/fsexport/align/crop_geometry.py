"""Where a face crop lies in a photo, and how much the photo shrinks for it: similarities as complex numbers.

A point (x, y) is the number x + iy, in pixels, the centre of the first pixel at 0. A crop is a pair (origin,
step): its pixel (u, v) shows the photo at origin + step * (u + iv). `geometry_graph` writes the same formulas
as ONNX nodes; these are what it is tested against.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import CropKind, CropSpec

ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""Eye, eye, nose, mouth corner, mouth corner in a crop of 112 px (insightface: utils/face_align.py)."""

ARCFACE_SIDE_PX = 112

# Constants of `recreate_aligned_images` (NVlabs/ffhq-dataset: download_ffhq.py).
FFHQ_EYE_FACTOR = 2.0
FFHQ_MOUTH_FACTOR = 1.8
FFHQ_CENTRE_SHIFT = 0.1

NUM_LEVELS = 6
"""Level n is the photo halved n times; 32 pixels of the photo to one of the crop are the most that occur."""

LEVEL_BIAS = 0.75
"""Added to log2 of the photo's pixels per pixel of the crop: one step of the crop is then 0.6 to 1.19 pixels
of its level, so bilinear sampling neither skips pixels nor blurs, and a crop at the photo's own scale or larger
comes from the photo itself, as OpenCV's warpAffine would cut it."""

Crops = tuple[NDArray[np.complex128], NDArray[np.complex128]]


def crop_geometry(crop: CropSpec, boxes: NDArray[np.float32], landmarks: NDArray[np.float32]) -> Crops:
    """Return (origin, step) of a crop of each face.

    Args:
        crop: Which crop.
        boxes: float32 (F, 4), x0, y0, x1, y1 in pixels.
        landmarks: float32 (F, 5, 2) in pixels, see `fsengine.contracts.steps.detected`.

    Returns:
        Two complex arrays (F,).
    """
    points = landmarks[..., 0] + 1j * landmarks[..., 1].astype(np.complex128)
    match crop.kind:
        case CropKind.PORTRAIT:
            return _portrait(points, crop.side_px)
        case CropKind.ARCFACE:
            return _arcface(points, crop.side_px)
        case CropKind.BOX:
            return _box(boxes, crop.side_px, crop.box_margin)
    raise AssertionError(f"no geometry for {crop.kind}")


def _portrait(points: NDArray[np.complex128], side_px: int) -> Crops:
    """Return the FFHQ construction; the mouth is the mean of its corners."""
    eye_to_eye = points[:, 1] - points[:, 0]
    eyes = (points[:, 0] + points[:, 1]) / 2
    eye_to_mouth = (points[:, 3] + points[:, 4]) / 2 - eyes
    right = eye_to_eye - 1j * eye_to_mouth
    half_side = np.maximum(np.abs(eye_to_eye) * FFHQ_EYE_FACTOR, np.abs(eye_to_mouth) * FFHQ_MOUTH_FACTOR)
    right = right / np.maximum(np.abs(right), 1e-6) * half_side
    step = 2 * right / side_px
    centre = eyes + FFHQ_CENTRE_SHIFT * eye_to_mouth
    return centre - (right - step / 2) * (1 + 1j), step


def _arcface(points: NDArray[np.complex128], side_px: int) -> Crops:
    """Return the least-squares similarity to the template (Umeyama 1991; in the plane a complex line fit)."""
    scaled = ARCFACE_TEMPLATE.astype(np.float64) * side_px / ARCFACE_SIDE_PX
    template = scaled[:, 0] + 1j * scaled[:, 1]
    centred = points - points.mean(axis=1, keepdims=True)
    target = template - template.mean()
    power = np.maximum((np.abs(centred) ** 2).sum(axis=1), 1e-6)
    to_crop = (np.conj(centred) * target).sum(axis=1) / power
    to_crop = np.where(np.abs(to_crop) < 1e-6, 1e-6, to_crop)
    step: NDArray[np.complex128] = (1 / to_crop).astype(np.complex128)
    return points.mean(axis=1) - step * template.mean(), step


def _box(boxes: NDArray[np.float32], side_px: int, margin: float) -> Crops:
    """Return the upright square of `margin` longer sides (insightface: model_zoo/attribute.py)."""
    x0, y0, x1, y1 = boxes.astype(np.float64).T
    step = (margin * np.maximum(x1 - x0, y1 - y0) / side_px).astype(np.complex128)
    centre = (x0 + x1) / 2 + 1j * (y0 + y1) / 2
    return centre - step * (side_px / 2) * (1 + 1j), step


def level_of(step: float) -> int:
    """Return the pyramid level that a face is sampled from, so that a large one shrinks without aliasing.

    Args:
        step: Photo pixels per crop pixel.
    """
    return min(max(math.floor(math.log2(max(step, 1e-6)) + LEVEL_BIAS), 0), NUM_LEVELS - 1)
