"""Run a graph in another ONNX Runtime than this environment's: a program of its own, for `sys.path` decides which."""

from __future__ import annotations

import sys

import numpy as np


def main(graph: str, feed: str, out: str) -> None:
    """Load a graph, run it, write its outputs, and say which version did.

    Args:
        graph: The ONNX file.
        feed: An npz file, its inputs by name.
        out: The npz file to write, its outputs by name.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    # The level at which repositories load graphs in fp16.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with np.load(feed) as inputs:
        found = session.run(names, dict(inputs))
    np.savez(out, **dict(zip(names, found, strict=True)))
    sys.stdout.write(ort.__version__)


if __name__ == "__main__":
    main(*sys.argv[1:])
