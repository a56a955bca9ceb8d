"""Batches in a few sizes, so that the memory of a GPU stays flat over any number of faces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.plans.profile import batch_buckets


def padded(feed: dict[str, NDArray[Any]], max_batch_size: int) -> dict[str, NDArray[Any]]:
    """Return inputs with zero rows added up to the next of `batch_buckets`.

    Memory then stays flat: neither ONNX Runtime's arena nor cuDNN sees a new shape for every number of faces.
    """
    rows = len(next(iter(feed.values())))
    missing = next(size for size in batch_buckets(max_batch_size) if size >= rows) - rows
    if not missing:
        return feed
    return {
        name: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
        for name, array in feed.items()
    }
