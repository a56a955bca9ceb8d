"""Where faces lie on a map: two numbers for each embedding, alike faces near each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsdata.results.reading import Results
from fsengine.errors import InvalidInputError, MissingDependencyError, ResultsError

METHODS = ("PCA", "UMAP")

_AXES_FACES = 100_000
"""Faces that the axes are found from; what changes with more is not seen on a map."""
_UMAP_DIMENSIONS = 50
_SEED = 20

OnFaces = Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapPlaces:
    """Places of faces.

    Attributes:
        places: float32 (N, 2) in the order of `Results.embeddings`, within -1 to 1, of equal scale in both directions.
        about: How they were found, for the reader of the map.
    """

    places: NDArray[np.float32]
    about: str


def find_places(results: Results, num_faces: int, method: str, on_faces: OnFaces | None = None) -> MapPlaces:
    """Find the places of all faces.

    PCA reads the embeddings twice and holds 2 numbers a face. UMAP (McInnes et al. 2018) is fitted to at most 100,000
    faces drawn with a fixed seed, of which it sees the first 50 principal components; the others are placed among them.

    Args:
        results: Whose faces.
        num_faces: How many they are.
        method: One of `METHODS`.
        on_faces: Called with a number of faces, twice for each of them by PCA, three times by UMAP.

    Raises:
        InvalidInputError: There are fewer than three faces, or no embeddings.
        MissingDependencyError: UMAP is not installed.
        ResultsError: Embeddings hold what is no number.
    """
    if num_faces < 3:
        raise InvalidInputError(f"a map needs three faces or more; here are {num_faces}")
    told = on_faces or (lambda _: None)
    umap = _umap() if method == "UMAP" else None
    step = max(1, -(-num_faces // _AXES_FACES))
    mean, axes, shares = _axes(results, step, told)
    kept = axes[:, :2] if umap is None else axes[:, :_UMAP_DIMENSIONS]
    parts = []
    for _, vectors in results.embeddings(["face_index"]):
        parts.append(((vectors - mean) @ kept).astype(np.float32))
        told(len(vectors))
    flat = np.concatenate(parts)
    if umap is None:
        first, second = (100 * share for share in shares[:2])
        about = f"PCA: the two directions in which these embeddings differ most, {first:.0f} % and {second:.0f} % of it"
        return MapPlaces(places=_within_one(flat), about=about)
    drawn = np.sort(np.random.default_rng(_SEED).choice(num_faces, min(num_faces, _AXES_FACES), replace=False))
    fitted = umap.UMAP(n_components=2, random_state=_SEED, n_neighbors=min(15, num_faces - 1)).fit(flat[drawn])
    places = np.empty((num_faces, 2), np.float32)
    places[drawn] = fitted.embedding_
    told(len(drawn))
    others = np.setdiff1d(np.arange(num_faces), drawn)
    for rows in np.array_split(others, max(1, len(others) // 10_000)) if len(others) else []:
        places[rows] = fitted.transform(flat[rows])
        told(len(rows))
    about = f"UMAP of {len(drawn):,} faces, seed {_SEED}: neighbours are alike, far distances say little"
    return MapPlaces(places=_within_one(places), about=about)


def _axes(
    results: Results, step: int, told: OnFaces
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Return the mean of every `step`-th embedding, principal axes (D, D) by falling variance, and their shares."""
    number = 0
    total: NDArray[np.float64] | None = None
    products: NDArray[np.float64] | None = None
    for _, vectors in results.embeddings(["face_index"]):
        some = vectors[::step]
        number += len(some)
        sums, squares = some.sum(axis=0, dtype=np.float64), (some.T @ some).astype(np.float64)
        total = sums if total is None else total + sums
        products = squares if products is None else products + squares
        told(len(vectors))
    assert total is not None
    assert products is not None
    mean = total / number
    if not np.isfinite(products).all():
        raise ResultsError(
            f"{results.folder} has embeddings that are no numbers, so there is no map; expected lengths of 1: "
            "score these photos anew"
        )
    values, axes = np.linalg.eigh(products / number - np.outer(mean, mean))
    values, axes = values[::-1].clip(0), axes[:, ::-1]
    # An axis has no direction of its own; its largest part points up, so that the map is the same each time.
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    return mean.astype(np.float32), axes.astype(np.float32), values / max(float(values.sum()), 1e-12)


def _within_one(places: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = places.min(axis=0), places.max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-9)
    moved: NDArray[np.float32] = ((places - (low + high) / 2) / half).astype(np.float32)
    return moved


def umap_installed() -> bool:
    """Return whether UMAP can be used."""
    import importlib.util

    return importlib.util.find_spec("umap") is not None


def _umap() -> Any:
    try:
        import umap
    except ImportError as exc:
        raise MissingDependencyError("UMAP is missing: pip install 'facestats[map]'") from exc
    return umap
