"""A network in fp16: what is converted, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is missing; it writes graphs")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is missing; it runs graphs")

from fsexport.graphs.graph_builder import GraphBuilder  # noqa: E402
from fsexport.graphs.half_network import half_network  # noqa: E402
from tiny_graphs import tiny_graph  # noqa: E402

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def enlarged(g: GraphBuilder) -> str:
    """A convolution, a Resize whose scales are an initializer, a Constant of fp32, and a Cast to fp32."""
    weights = np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32)
    maps = g.add("Conv", "x", g.constant(weights), pads=[1, 1, 1, 1])
    large = g.add("Resize", maps, "", g.constant(np.array([1, 1, 2, 2], np.float32), "scales"), mode="nearest")
    third = g.add("Constant", value=onnx.numpy_helper.from_array(np.float32(1 / 3)))
    flags = g.add("Cast", g.add("Greater", large, third), to=FLOAT)
    return str(g.add("Sigmoid", g.add("Add", g.add("Mul", large, third), flags)))


def test_it_computes_in_fp16_between_the_same_fp32_ends() -> None:
    network = tiny_graph(enlarged)
    half = half_network(network)
    types = {tensor.data_type for tensor in half.graph.initializer if not tensor.name.startswith("scales")}
    assert types == {FLOAT16}
    assert [value.type.tensor_type.elem_type for value in (*half.graph.input, *half.graph.output)] == [FLOAT, FLOAT]
    assert [value.name for value in (*half.graph.input, *half.graph.output)] == [
        value.name for value in (*network.graph.input, *network.graph.output)
    ]
    shape = [dim.dim_value for dim in network.graph.input[0].type.tensor_type.shape.dim]
    feed = {"x": np.random.default_rng(1).normal(size=[size or 4 for size in shape]).astype(np.float32)}
    found, expected = (ort.InferenceSession(m.SerializeToString()).run(None, feed)[0] for m in (half, network))
    assert found.dtype == np.float32
    far = np.abs(found - expected) > 2e-3
    assert far.mean() < 0.01  # a number may fall on the other side of the comparison
    assert (found != expected).any()
