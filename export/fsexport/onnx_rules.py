"""What every graph of the project keeps to, so that TensorRT imports it and the container's runtime loads it."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import numpy_helper

from fsengine.errors import ExportError
from fsexport.graph_builder import IR_VERSION, OPSET

FORBIDDEN_OPERATORS = frozenset({"Compress", "Unique", "DynamicQuantizeLinear"})
"""TensorRT's parser has none of them (onnx-tensorrt:docs/operators.md)."""

TOP_K_LIMIT = 3840
"""TensorRT's TopK needs a smaller K."""


def check_rules(model: onnx.ModelProto, name: str) -> None:
    """Check a graph against the project's rules.

    Args:
        model: The graph.
        name: What to call it in a message.

    Raises:
        ExportError: It breaks some; all are named.
    """
    if broken := list(broken_rules(model)):
        raise ExportError(f"graph {name!r} breaks rules of this project: {'; '.join(broken)}")


def broken_rules(model: onnx.ModelProto) -> Iterator[str]:
    """Yield each rule that a graph breaks, with what was found and what is expected."""
    if model.ir_version > IR_VERSION:
        yield f"IR version is {model.ir_version}, expected at most {IR_VERSION}"
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version != OPSET:
            yield f"opset is {opset.version}, expected {OPSET}"
        elif opset.domain not in ("", "ai.onnx"):
            yield f"operators of domain {opset.domain!r} are used, expected standard ones alone"
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in FORBIDDEN_OPERATORS:
            yield f"operator {node.op_type} is used, which TensorRT does not import"
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "Resize" and "antialias" in attributes and attributes["antialias"].i:
            yield "Resize has antialias, which TensorRT does not import; use AveragePool or a pyramid"
        if node.op_type == "TopK":
            k = constants.get(node.input[1])
            if k is None:
                yield "TopK has a computed K, expected a constant"
            elif (value := int(numpy_helper.to_array(k).reshape(-1)[0])) >= TOP_K_LIMIT:
                yield f"TopK has K {value}, expected less than {TOP_K_LIMIT}"
