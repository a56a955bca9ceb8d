"""Linear light, the brightness of faces, and what of a crop is no photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Of linear sRGB (ITU-R BT.709)."""

_LEAST_GAIN, _MOST_GAIN = 0.4, 3.0
_BLACK = 8
"""Of 255: what is no brighter in any channel may be padding."""
_LEAST_BORDER = 0.002
"""Share of a crop from which on a black piece at its edge is no part of the photo."""


def _decoded() -> NDArray[np.float32]:
    values = np.arange(256) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _decoded()


def to_linear(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an sRGB image in linear light, float32, 0..1 (IEC 61966-2-1)."""
    linear: NDArray[np.float32] = _LINEAR[image]
    return linear


def to_srgb(linear: NDArray[np.floating]) -> NDArray[np.uint8]:  # type: ignore[type-arg]
    """Return an image in linear light, 0..1, as sRGB, uint8; what is outside is cut."""
    values = np.clip(linear, 0, 1)
    encoded = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    values8: NDArray[np.uint8] = np.round(encoded * 255).astype(np.uint8)
    return values8


def luminance(linear: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    """Return the mean luminance of an image in linear light where a mask is; 0 where it is nowhere."""
    return float((linear[where] @ _LUMA).mean()) if where.any() else 0.0


def gain(found: float, wanted: float) -> float:
    """Return the factor that brings a face to the common luminance, 0.4 to 3: else bright faces count for more."""
    return float(np.clip(wanted / max(found, 1e-4), _LEAST_GAIN, _MOST_GAIN))


def photo_mask(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 1 where a crop shows its photo and 0 where it was padded: black pieces that touch its edge.

    Args:
        image: uint8 (H, W, 3).

    Returns:
        float32 (H, W).
    """
    import cv2

    black = (image.max(axis=2) <= _BLACK).astype(np.uint8)
    edge = np.concatenate([black[0], black[-1], black[:, 0], black[:, -1]])
    if not edge.any():
        return np.ones(image.shape[:2], np.float32)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(black, connectivity=4)
    at_edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    large = [label for label in at_edge if label and statistics[label, cv2.CC_STAT_AREA] > _LEAST_BORDER * black.size]
    padded = np.isin(labels, large).astype(np.uint8)
    # JPEG smears what it ends at.
    padded = cv2.dilate(padded, np.ones((5, 5), np.uint8))
    return np.asarray(padded == 0, np.float32)
