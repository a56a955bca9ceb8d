"""Run a graph once, for a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_graph(
    path: Path, feed: Mapping[str, NDArray[Any]], *, rows: int = 16, half: bool = False
) -> dict[str, NDArray[Any]]:
    """Return the outputs of a batching graph by name, computed a few rows at a time.

    Args:
        path: The ONNX file.
        feed: Inputs by name, with as many rows each.
        rows: Rows of one run.
        half: Whether the graph holds fp16, which ONNX Runtime's CPU provider survives one level below its highest.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    if half:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    total = len(next(iter(feed.values())))
    parts = [
        session.run(names, {name: array[start : start + rows] for name, array in feed.items()})
        for start in range(0, total, rows)
    ]
    return {name: np.concatenate([part[index] for part in parts]) for index, name in enumerate(names)}
