"""Turn pooled features into a short embedding: standardized, projected, turned so that the labels lie first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """An affine map of features, before the L2 norm.

    Attributes:
        matrix: float32 (P, D).
        shift: float32 (D,).
    """

    matrix: NDArray[np.float32]
    shift: NDArray[np.float32]

    def embed(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (N, D), L2-normalized, for float32 (N, P)."""
        projected = features @ self.matrix + self.shift
        normalized: NDArray[np.float32] = projected / np.linalg.norm(projected, axis=1, keepdims=True)
        return normalized


def fit_projection(features: NDArray[np.float32], targets: NDArray[np.float64], width: int, ridge: float) -> Projection:
    """Fit the map.

    Features are standardized and projected on their principal components. A rotation then puts the
    directions of a ridge regression on the targets first, so that a forest, which splits one number at a
    time, finds them. A rotation changes no distance and no cosine.

    Args:
        features: float32 (N, P).
        targets: float64 (N, T), T at most `width`; centred here.
        width: D.
        ridge: Weight of the penalty, in units of unit-norm embeddings.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    spread = features.std(axis=0, dtype=np.float64) + 1e-6
    standard = (features - mean) / spread
    components = np.linalg.svd(standard, full_matrices=False)[2][:width].T  # (P, D)
    points = standard @ components
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    centred = targets - targets.mean(axis=0)
    directions = np.linalg.solve(points.T @ points + ridge * np.eye(width), points.T @ centred)  # (D, T)
    rotation = np.linalg.qr(np.concatenate([directions, np.eye(width)], axis=1))[0]
    matrix = components @ rotation / spread[:, None]
    return Projection(matrix=matrix.astype(np.float32), shift=(-mean @ matrix).astype(np.float32))
