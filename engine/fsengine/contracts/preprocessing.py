"""The preprocessing contract: how a photo becomes the pixels that each model sees.

Stated once. `model_repository/decode/1/dali.py` and the graphs of `fsexport.align.align_graph` carry it out; training,
export, serving and tests refer to it by its id.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import Enum

DETECTOR_SIDE_PX = 640
"""Side of the square that the detector sees; ratio kept, pasted top left, zero padding."""

MAX_SIDE_PX = 2048
"""Photos are shrunk to this longest side before faces are cut out of them."""

LEAST_SIDE_PX = 32
"""Shorter sides of what faces are cut out of are padded to this, right and bottom, with zeros that no crop shows:
a pyramid of five halvings keeps a pixel."""

MAX_PHOTO_PIXELS = 200_000_000
"""Photos with more pixels are refused before they are decoded: 600 MB as RGB."""

MAX_PHOTO_FILE_BYTES = 1 << 30
"""Larger files are not read: half of what one gRPC message holds."""


class CropKind(str, Enum):
    """How a face is cut out of the photo.

    PORTRAIT: The FFHQ construction from the eyes and the mouth (Karras et al. 2019, `recreate_aligned_images`).
    ARCFACE: Least-squares similarity of the five landmarks to the ArcFace template (Deng et al. 2019).
    BOX: Upright square around the box, `box_margin` times its longer side (InsightFace's `genderage`).
    """

    PORTRAIT = "portrait"
    ARCFACE = "arcface"
    BOX = "box"


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSpec:
    """One kind of face crop.

    Attributes:
        kind: The construction.
        side_px: Side of the square crop in pixels.
        box_margin: Side of the square cut out, in longer sides of the box; for `BOX` alone.
    """

    kind: CropKind
    side_px: int
    box_margin: float = 1.5

    def __post_init__(self) -> None:
        if not 16 <= self.side_px <= 1024:
            raise ValueError(f"crop side is {self.side_px} px, expected 16 to 1024")
        if not 1.0 <= self.box_margin <= 4.0:
            raise ValueError(f"box_margin is {self.box_margin}, expected 1 to 4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Everything that decides which pixels a model sees.

    Attributes:
        portrait: The crop that the encoder embeds.
        age_gender: The crop of the age/gender model; None where that head reads the embedding.
        detector_side_px: See `DETECTOR_SIDE_PX`.
        max_side_px: See `MAX_SIDE_PX`.
        revision: Raised when the code that carries the contract out changes its pixels.
    """

    portrait: CropSpec
    age_gender: CropSpec | None
    detector_side_px: int = DETECTOR_SIDE_PX
    max_side_px: int = MAX_SIDE_PX
    revision: int = 1

    @property
    def preprocessing_id(self) -> str:
        """Return the contract's id: `pre-` and 12 hex digits of its SHA-256."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return "pre-" + hashlib.sha256(text.encode()).hexdigest()[:12]
