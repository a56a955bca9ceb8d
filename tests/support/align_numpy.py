"""The align step in NumPy and OpenCV, face by face: what the graph of `align_graph` is tested against."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import CropSpec
from fsexport.align.crop_geometry import NUM_LEVELS, crop_geometry, level_of


def reference_crops(
    image: NDArray[np.uint8], boxes: NDArray[np.float32], landmarks: NDArray[np.float32], crop: CropSpec
) -> NDArray[np.uint8]:
    """Return the crops of the faces of one photo.

    Args:
        image: uint8 (H, W, 3), RGB.
        boxes: float32 (F, 4) in pixels of `image`.
        landmarks: float32 (F, 5, 2) in pixels of `image`.
        crop: Which crop.

    Returns:
        uint8 (F, S, S, 3), RGB; black outside of the photo.
    """
    levels = [image.astype(np.float32)]
    while len(levels) < NUM_LEVELS:
        levels.append(_halved(levels[-1]))
    u, v = np.meshgrid(np.arange(crop.side_px), np.arange(crop.side_px))
    crops = []
    for origin, step in zip(*crop_geometry(crop, boxes, landmarks), strict=True):
        points = origin + step * (u + 1j * v)
        factor = 2 ** level_of(abs(step))
        level = levels[level_of(abs(step))]
        x, y = (points.real + 0.5) / factor - 0.5, (points.imag + 0.5) / factor - 0.5
        sampled = cv2.remap(
            level, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        inside = (np.abs(points.real - (image.shape[1] - 1) / 2) <= image.shape[1] / 2) & (
            np.abs(points.imag - (image.shape[0] - 1) / 2) <= image.shape[0] / 2
        )
        crops.append(np.rint(sampled * inside[..., None]).clip(0, 255).astype(np.uint8))
    return np.stack(crops)


def _halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means of 2 x 2 pixels; an odd last row or column stands for itself."""
    even = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
    # (H/2, 2, W/2, 2, C) -> (H/2, W/2, C)
    blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 3)
    halved: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return halved
