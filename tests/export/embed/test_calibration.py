"""How large the values of a graph become on crops, which int8 and fp8 are calibrated by."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from fsengine.errors import ExportError  # noqa: E402
from fsexport.embed.calibration import largest_magnitudes  # noqa: E402
from fsexport.graphs.graph_builder import GraphBuilder  # noqa: E402
from tiny_graphs import tiny_graph  # noqa: E402


def doubled(g: GraphBuilder) -> str:
    pixels = g.add("Cast", "crop", to=onnx.TensorProto.FLOAT)
    g.add("Mul", pixels, g.number(-2.0))
    return str(g.add("Add", pixels, pixels))


def test_the_largest_magnitude_is_that_of_all_crops_and_of_either_sign() -> None:
    graph = tiny_graph(doubled, {"crop": (onnx.TensorProto.UINT8, ("n", 4, 4, 3))})
    (product,) = [node.output[0] for node in graph.graph.node if node.op_type == "Mul"]
    crops = np.zeros((9, 4, 4, 3), np.uint8)
    crops[8, 1, 2, 0] = 200
    assert largest_magnitudes(graph, [product], onnx.TensorProto.FLOAT, crops) == {product: 400.0}
    with pytest.raises(ExportError, match="calibrated on 7 face crops, expected at least 8"):
        largest_magnitudes(graph, [product], onnx.TensorProto.FLOAT, crops[:7])
