"""A square with a face, cut out of an upright photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CROP_PX = 224
"""Side of a crop."""

MARGIN = 1.7
"""Side of what is cut out, in longer sides of the face's box."""

_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceCrop:
    """One face, cut out.

    Attributes:
        source: Its photo.
        content_hash: Of the photo.
        face_index: Of the face in the photo.
        photo_hash: Of how the whole photo looks; see `photo_hash`.
        image: uint8 (224, 224, 3), RGB, upright, in sRGB; black where the photo ends.
        transform: float64 (2, 3): takes (x, y, 1) in pixels of the upright photo to pixels of the crop.
    """

    source: str
    content_hash: str
    face_index: int
    photo_hash: int
    image: NDArray[np.uint8]
    transform: NDArray[np.float64]

    def points(self, in_photo: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return points (N, 2) in pixels of the crop that are given in pixels of the photo."""
        moved: NDArray[np.float64] = np.asarray(in_photo, np.float64) @ self.transform[:, :2].T + self.transform[:, 2]
        return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingCrop:
    """A face that could not be cut out.

    Attributes:
        source: Its photo.
        face_index: Of the face in the photo.
        reason: Why: the same few words for all photos of one kind.
    """

    source: str
    face_index: int
    reason: str


def cut(pixels: NDArray[np.uint8], box: NDArray[np.floating[Any]]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut a face out.

    Args:
        pixels: The photo, uint8 (H, W, 3), upright.
        box: The face, [x0, y0, x1, y1] in its pixels.

    Returns:
        Image and transform; see `FaceCrop`.
    """
    import cv2

    x0, y0, x1, y1 = (float(value) for value in box)
    side = max(2, round(MARGIN * max(x1 - x0, y1 - y0)))
    # Whole pixels, so that shrinking by areas is exact.
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    height, width = pixels.shape[:2]
    inner = pixels[max(0, top) : max(0, min(height, top + side)), max(0, left) : max(0, min(width, left + side))]
    square = np.zeros((side, side, 3), np.uint8)
    if inner.size:
        row, column = max(0, -top), max(0, -left)
        square[row : row + inner.shape[0], column : column + inner.shape[1]] = inner
    scale = CROP_PX / side
    image = cv2.resize(square, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(image, np.uint8), np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])


def photo_hash(pixels: NDArray[np.uint8]) -> int:
    """Return 64 bits of how a photo looks, of which few change where it is resized or compressed anew.

    The lowest 64 frequencies but the mean of its lightness at 32 x 32, each larger than their median or not (the
    perceptual hash of Zauner 2010, "Implementation and benchmarking of perceptual image hash functions").

    Args:
        pixels: The photo, uint8 (H, W, 3), RGB, upright.
    """
    import cv2

    small = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(small.astype(np.float32))[1:9, 1:9].ravel()
    bits = frequencies > np.median(frequencies)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def to_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return an RGB image as JPEG."""
    import cv2

    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return bytes(encoded)


def from_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Return the RGB image of a JPEG that `to_jpeg` made."""
    import cv2

    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])
