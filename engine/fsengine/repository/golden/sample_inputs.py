"""What each step is asked: the photos that ship and a black one, decoded by Pillow, and crops cut by their boxes.

No step is fed with what another step of the server made, so that one that is wrong spoils no other's answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsengine.contracts import steps
from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX, MAX_SIDE_PX
from fsengine.errors import InvalidInputError
from fsengine.packs.shipped import shipped_photos
from fsengine.repository.model_config import ensemble_name

Arrays = dict[str, NDArray[Any]]

BLANK = "blank"
"""A black picture: the detector has no candidate on it, the one input that no real photo gives it."""

_UPRIGHT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One photo.

    Attributes:
        name: Of the photo.
        encoded: Its file; None for the black picture, which is decoded already.
        decoded: What steps read of decode, by the ensemble's names, with a leading axis of 1.
    """

    name: str
    encoded: bytes | None
    decoded: Arrays

    @property
    def request(self) -> Arrays:
        """Return the inputs of decode and of the ensembles, with a leading axis of 1."""
        assert self.encoded is not None
        return {
            steps.ENCODED_IMAGE.name: np.frombuffer(self.encoded, np.uint8)[None],
            steps.ORIENTATION.name: np.full((1, 1), _UPRIGHT, np.uint8),
        }


def samples() -> list[Sample]:
    """Return the photos that ship and have faces on them, and the black picture.

    Raises:
        PackError: The installation is incomplete.
    """
    read = [_read(path) for path in shipped_photos()]
    black = Image.new("RGB", (DETECTOR_SIDE_PX, DETECTOR_SIDE_PX))
    return [*read, Sample(name=BLANK, encoded=None, decoded=_decoded(black))]


def cut_faces(image: NDArray[np.uint8], boxes: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.uint8]:
    """Cut faces out of a photo, for steps that read crops; they need the look of a face, not the aligned one.

    Args:
        image: uint8 (1, H, W, 3).
        boxes: float32 (F, 4) in its pixels.
        shape: Of one crop: (side, side, 3).

    Returns:
        uint8 (F, side, side, 3).
    """
    photo = Image.fromarray(image[0])
    size = int(shape[1]), int(shape[0])
    crops = [photo.resize(size, Image.Resampling.BILINEAR, box=_inside(box, photo.size)) for box in boxes]
    return np.stack([np.asarray(crop) for crop in crops])


def _inside(box: NDArray[np.float32], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return a box within a picture, one pixel wide and high at least."""
    (x0, y0, x1, y1), (width, height) = (float(value) for value in box), size
    x0, y0 = min(max(x0, 0.0), width - 1.0), min(max(y0, 0.0), height - 1.0)
    return x0, y0, min(max(x1, x0 + 1), float(width)), min(max(y1, y0 + 1), float(height))


def _read(path: Path) -> Sample:
    from fsengine.photo.convert import read_pixels

    encoded = path.read_bytes()
    try:
        photo = Image.fromarray(read_pixels(encoded))
    except (OSError, InvalidInputError) as exc:
        raise InvalidInputError(f"{path} cannot be read as a photo: {exc}; install facestats again") from exc
    return Sample(name=path.name, encoded=encoded, decoded=_decoded(photo))


def _decoded(photo: Image.Image) -> Arrays:
    """Return what the decode step makes of a photo, nearly: Pillow resizes here."""
    width, height = photo.size

    def fitted(side: int) -> NDArray[np.uint8]:
        ratio = side / max(width, height)
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        return np.asarray(photo.resize(size, Image.Resampling.BILINEAR))

    image = np.asarray(photo) if max(width, height) <= MAX_SIDE_PX else fitted(MAX_SIDE_PX)
    small = fitted(DETECTOR_SIDE_PX)
    square = np.zeros((DETECTOR_SIDE_PX, DETECTOR_SIDE_PX, 3), np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    made: Mapping[str, NDArray[Any]] = {
        steps.IMAGE.name: image[None],
        steps.DETECTOR_INPUT.name: square[None],
        steps.DETECTOR_SCALE.name: np.array([[small.shape[1] / width, small.shape[0] / height]], np.float32),
        steps.IMAGE_SIZE.name: np.array([[width, height]], np.int32),
    }
    return {ensemble_name(name): array for name, array in made.items()}
