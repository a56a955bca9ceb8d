"""ONNX files: written whole after they were checked, and run for a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from fsengine.errors import ExportError
from fsengine.files.atomic import temporary_file
from fsexport.graphs.onnx_rules import check_rules


def save_onnx(model: onnx.ModelProto, path: Path, *, tensorrt: bool = True) -> Path:
    """Check a graph, load it once in ONNX Runtime, and write it.

    Args:
        model: The graph.
        path: The file to write.
        tensorrt: Whether it is meant for TensorRT too; see `check_rules`.

    Returns:
        `path`.

    Raises:
        ExportError: The graph is not valid, breaks a rule of the project, or does not load.
    """
    import onnxruntime as ort

    check_rules(model, path.name, tensorrt=tensorrt)
    try:
        onnx.checker.check_model(model, full_check=True)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's exceptions share no base but Exception
        raise ExportError(f"graph {path.name!r} is not valid: {exc}") from exc
    with temporary_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    return path


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
