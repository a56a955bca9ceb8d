"""The requests of one execution as arrays and as one batch, in a few sizes; arrays as their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.plans.profile import batch_buckets

Arrays = dict[str, NDArray[Any]]


def run_as_one(feeds: Sequence[Arrays], run: Callable[[Arrays, int], Arrays]) -> list[Arrays]:
    """Run the inputs of several requests together and return the outputs of each.

    Args:
        feeds: Of each request its inputs, all with the same number of rows.
        run: Called with all rows and their number; returns as many rows, or more, which are cut off.
    """
    rows = [len(next(iter(feed.values()))) for feed in feeds]
    merged = feeds[0]
    if len(feeds) > 1:
        merged = {name: np.concatenate([feed[name] for feed in feeds]) for name in merged}
    outputs = run(merged, sum(rows))
    parts, start = [], 0
    for count in rows:
        parts.append({name: array[start : start + count] for name, array in outputs.items()})
        start += count
    return parts


def padded(feed: Arrays, max_batch_size: int) -> Arrays:
    """Return inputs with zero rows added up to the next of `batch_buckets`, which a plan is tried with."""
    rows = len(next(iter(feed.values())))
    return filled(feed, next(size for size in batch_buckets(max_batch_size) if size >= rows))


def in_equal_batches(feed: Arrays, size: int) -> list[Arrays]:
    """Return inputs in batches of one size, the last of them filled with zero rows."""
    rows = len(next(iter(feed.values())))
    starts = range(0, rows, size)
    return [filled({name: array[start : start + size] for name, array in feed.items()}, size) for start in starts]


def filled(feed: Arrays, num_rows: int) -> Arrays:
    """Return inputs with zero rows added up to a number."""
    missing = num_rows - len(next(iter(feed.values())))
    if not missing:
        return feed
    return {
        name: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
        for name, array in feed.items()
    }


def input_arrays(request: Any, names: Iterable[str]) -> Arrays:
    """Return the inputs of a request of Triton's Python backend by name."""
    import triton_python_backend_utils as pb_utils

    return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names}


def response(request: Any, outputs: Mapping[str, NDArray[Any]]) -> Any:
    """Return the response with those outputs that a request of Triton's Python backend asks for."""
    import triton_python_backend_utils as pb_utils

    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, outputs[name]) for name in request.requested_output_names()]
    )
