"""How alike the embeddings of faces are to that of one of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsdata.results.reading import Results
from fsengine.errors import InvalidInputError


def similarities(results: Results, row: int) -> NDArray[np.float32]:
    """Return the cosine of each face with one of them, in one pass over the embeddings.

    Args:
        results: Whose faces.
        row: Number of a face in the order of `Results.embeddings`.

    Returns:
        float32 (N,), -1 to 1, in that order.

    Raises:
        InvalidInputError: There is no such face, or there are no embeddings.
    """
    anchor = _embedding(results, row)
    return np.concatenate([vectors @ anchor for _, vectors in results.embeddings(["face_index"])])


def _embedding(results: Results, row: int) -> NDArray[np.float32]:
    start = 0
    for _, vectors in results.embeddings(["face_index"]):
        if row < start + len(vectors):
            found: NDArray[np.float32] = vectors[row - start]
            return found
        start += len(vectors)
    raise InvalidInputError(f"there is no face {row}; expected 0 to {start - 1}")
