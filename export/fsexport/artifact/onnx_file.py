"""Write an artifact whole or not at all, after it was checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from fsengine.errors import ExportError
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
    with whole_file(path) as beside:
        beside.write_bytes(model.SerializeToString(deterministic=True))
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes its name at the end, and stays not on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
