"""Write an artifact whole or not at all, after it was checked."""

from __future__ import annotations

from pathlib import Path

import onnx

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
