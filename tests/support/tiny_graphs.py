"""Graphs of a few nodes, valid or wrong in one way, that no checker has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper

from fsexport.graphs.graph_builder import IR_VERSION, OPSET, GraphBuilder

Write = Callable[[GraphBuilder], str]
PHOTO: Mapping[str, tuple[int, tuple[int | str, ...]]] = {"x": (TensorProto.FLOAT, (1, 3, 8, 8))}


def tiny_graph(
    write: Write,
    inputs: Mapping[str, tuple[int, tuple[int | str, ...]]] = PHOTO,
    output: int = TensorProto.FLOAT,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Return a graph.

    Args:
        write: Writes it and returns the name of its result.
        inputs: Element type and shape of each input.
        output: Element type of the output.
        opset: Version of the operators.
    """
    builder = GraphBuilder()
    result = write(builder)
    graph = helper.make_graph(
        builder.nodes,
        "tiny",
        [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
        [helper.make_tensor_value_info(result, output, None)],
        builder.initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


def node(op_type: str, *inputs: str, **attributes: Any) -> Write:
    """Return a writer of one node."""

    def write(builder: GraphBuilder) -> str:
        found = builder.add(op_type, *inputs, **attributes)
        return str(found if isinstance(found, str) else found[0])

    return write
