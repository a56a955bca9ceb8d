"""A network in fp16 between fp32 ends: TensorRT and ONNX Runtime take the precision from the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fsexport.graphs.graph_splice import network_inputs

if TYPE_CHECKING:
    import onnx

_FLOAT_INPUTS = {"Resize": (1, 2)}
"""Inputs that are fp32 whatever the data are: region and scales."""


def half_network(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that computes in fp16, from the same fp32 inputs to the same fp32 outputs.

    Numbers beyond fp16's range become infinite; what a network loses is for its comparison to find.

    Args:
        network: In fp32.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    half = onnx.ModelProto()
    half.CopyFrom(network)
    kept = {
        node.input[index]
        for node in half.graph.node
        for index in _FLOAT_INPUTS.get(node.op_type, ())
        if index < len(node.input)
    }
    tensors = [tensor for tensor in half.graph.initializer if tensor.name not in kept]
    for node in half.graph.node:
        if node.op_type == "Constant" and node.output[0] not in kept:
            tensors += [attribute.t for attribute in node.attribute if attribute.name == "value"]
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    for tensor in tensors:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    given, made = [value.name for value in network_inputs(half)], [value.name for value in half.graph.output]
    # Inside, what is given and what is made have other names; the casts at both ends have theirs.
    inner = {name: f"{name}_half" for name in (*given, *made)}
    for node in half.graph.node:
        for names in (node.input, node.output):
            names[:] = [inner.get(name, name) for name in names]
    first = [helper.make_node("Cast", [name], [inner[name]], to=TensorProto.FLOAT16) for name in given]
    last = [helper.make_node("Cast", [inner[name]], [name], to=TensorProto.FLOAT) for name in made]
    nodes = [*first, *half.graph.node, *last]
    del half.graph.node[:], half.graph.value_info[:]
    half.graph.node.extend(nodes)
    return half
