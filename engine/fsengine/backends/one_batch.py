"""The requests of one execution as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
