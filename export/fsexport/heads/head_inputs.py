"""What a head on the embedding is compared with its source on: real embeddings, or drawn ones for want of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWN_ROWS = 512
_SEED = 20260101


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadInputs:
    """Embeddings.

    Attributes:
        rows: float32 (N, D), L2-normalized.
        text: What they are, for a table.
    """

    rows: NDArray[np.float32]
    text: str


def random_inputs(width: int) -> HeadInputs:
    """Return unit vectors of a width, the same at every call."""
    rows = np.random.default_rng(_SEED).normal(size=(_DRAWN_ROWS, width))
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return HeadInputs(rows=unit, text=f"{_DRAWN_ROWS} drawn unit vectors")
