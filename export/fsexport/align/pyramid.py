"""Which level of an image pyramid a face is sampled from, so that a large face shrinks without aliasing."""

from __future__ import annotations

import math

NUM_LEVELS = 6
"""Level n is the photo halved n times; 32 pixels of the photo to one of the crop are the most that occur."""

LEVEL_BIAS = 0.75
"""Added to log2 of the photo's pixels per pixel of the crop: one step of the crop is then 0.6 to 1.19 pixels
of its level, so bilinear sampling neither skips pixels nor blurs, and a crop at the photo's own scale or larger
comes from the photo itself, as OpenCV's warpAffine would cut it."""


def level_of(step: float) -> int:
    """Return the level for a number of photo pixels per crop pixel."""
    return min(max(math.floor(math.log2(max(step, 1e-6)) + LEVEL_BIAS), 0), NUM_LEVELS - 1)
