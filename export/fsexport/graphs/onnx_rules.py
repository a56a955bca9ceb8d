"""What every graph of the project keeps to, so that TensorRT imports it and the container's runtime loads it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fsengine.errors import ExportError
from fsexport.graphs.graph_builder import HALF_QUANTIZED_OPSET, IR_VERSION, OPSET
from fsexport.graphs.tensorrt_operators import ANY, OPERATORS, PIXELS, REFUSED, SYMMETRIC, TOP_K_LIMIT, Operator

_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
_SMALL = 1024
"""Elements of a constant that may be a shape."""
_LOWER_CASE = re.compile(r"[a-z ,]+->[a-z ]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """What is known of the values of a graph, by name.

    Attributes:
        types: Element types.
        ranks: Ranks.
        constants: Values that are known beforehand.
        data: Values that depend on more of the inputs than their shapes.
    """

    types: Mapping[str, int]
    ranks: Mapping[str, int]
    constants: Mapping[str, TensorProto]
    data: frozenset[str]


def check_rules(model: onnx.ModelProto, name: str, *, tensorrt: bool = True) -> None:
    """Check a graph against the project's rules.

    Args:
        model: The graph.
        name: What to call it in a message.
        tensorrt: Whether it is meant for TensorRT too, and so must not quantize as CPUs do.

    Raises:
        ExportError: It breaks some, or is not valid. All that it breaks are named, but operators that TensorRT lacks
            come first and alone.
    """
    if broken := list(broken_rules(model, tensorrt=tensorrt)):
        raise ExportError(f"graph {name!r} breaks rules of this project: {'; '.join(broken)}")


def broken_rules(model: onnx.ModelProto, *, tensorrt: bool = True) -> Iterator[str]:
    """Yield each rule that a graph breaks, with what was found and what is expected; see `check_rules`."""
    unknown = {node.op_type for node in model.graph.node} - set(OPERATORS)
    for op_type in sorted(unknown):
        reason = REFUSED.get(op_type, "it is not in fsexport.graphs.tensorrt_operators; look it up and add it")
        yield f"operator {op_type} is used: {reason}"
    if unknown:
        return
    values = _read(model)
    if model.ir_version > IR_VERSION:
        yield f"IR version is {model.ir_version}, expected at most {IR_VERSION}"
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            yield f"operators of domain {opset.domain!r} are used, expected standard ones alone"
        elif opset.version != (expected := _opset(model, values)):
            yield f"opset is {opset.version}, expected {expected}"
    for value in (*model.graph.input, *model.graph.output):
        if (found := value.type.tensor_type.elem_type) not in ANY | {PIXELS}:
            yield f"{value.name} is {_type(found)}, expected {_types(ANY | {PIXELS})}"
    for node in model.graph.node:
        operator = OPERATORS[node.op_type]
        yield from _broken_types(node, operator, values)
        yield from _broken_inputs(node, operator, values)
        yield from _broken_attributes(node, operator)
        if node.op_type in _MORE:
            yield from _MORE[node.op_type](node, values)
        if tensorrt and node.op_type in _QUANTIZING:
            yield from _broken_quantization(node, values)


def _opset(model: onnx.ModelProto, values: _Values) -> int:
    """Return the one opset that a graph may have."""
    for node in model.graph.node:
        if node.op_type in _QUANTIZING and any(
            values.types.get(name) in (TensorProto.FLOAT16, TensorProto.FLOAT8E4M3FN) for name in node.input
        ):
            return HALF_QUANTIZED_OPSET
    return OPSET


def _broken_types(node: onnx.NodeProto, operator: Operator, values: _Values) -> Iterator[str]:
    pixels = [name for name in (*node.input, *node.output) if values.types.get(name) == PIXELS]
    if pixels and node.op_type not in ("Cast", *_QUANTIZING):
        yield f"{node.op_type} has {pixels[0]} in uint8, which TensorRT takes as the input or output of a Cast alone"
    elif len(node.input) > operator.data:
        found = values.types.get(node.input[operator.data], 0)
        if found and found not in operator.types:
            yield f"{node.op_type} is on {_type(found)}, expected {_types(operator.types)}"
    for name in node.output:
        if values.types.get(name) in (TensorProto.DOUBLE, TensorProto.STRING):
            yield f"{node.op_type} gives {_type(values.types[name])}, which TensorRT has not"


def _broken_inputs(node: onnx.NodeProto, operator: Operator, values: _Values) -> Iterator[str]:
    given = {index: name for index, name in enumerate(node.input) if name}
    rank = values.ranks.get(given.get(0, ""))
    if operator.ranks and rank is not None and rank not in operator.ranks:
        yield f"{node.op_type} is on {rank} dimensions, expected {' or '.join(map(str, operator.ranks))}"
    outputs = sum(bool(name) for name in node.output)
    if operator.most_outputs and outputs > operator.most_outputs:
        yield f"{node.op_type} has {outputs} outputs, expected {operator.most_outputs}: TensorRT computes no more"
    for index, what in operator.constants.items():
        if index in given and given[index] not in values.constants:
            yield f"{node.op_type} has a computed {what}, expected a constant"
        elif index not in given and index in operator.needed:
            yield f"{node.op_type} has no {what}, expected a constant"
    for index in operator.sizes:
        if given.get(index) in values.data:
            yield (
                f"{node.op_type} has a size from data ({given[index]}), and sizes are needed on the host; take it from "
                "a shape, or select with NonZero and Gather"
            )


def _broken_attributes(node: onnx.NodeProto, operator: Operator) -> Iterator[str]:
    attributes = _attributes(node)
    for name, limit in operator.attributes.items():
        found = attributes.get(name, limit.default)
        for item in found if isinstance(found, list) else [found]:
            if item not in limit.allowed:
                yield f"{node.op_type} has {name} {_word(name, item)}: {limit.reason}"


def _broken_top_k(node: onnx.NodeProto, values: _Values) -> Iterator[str]:
    k = values.constants.get(node.input[1])
    if k is not None and (value := int(numpy_helper.to_array(k).reshape(-1)[0])) >= TOP_K_LIMIT:
        yield f"TopK has K {value}, expected less than {TOP_K_LIMIT}"


def _broken_average(node: onnx.NodeProto, _: _Values) -> Iterator[str]:
    attributes = _attributes(node)
    if attributes.get("ceil_mode", 0) and attributes.get("count_include_pad", 0):
        yield "AveragePool has ceil_mode and count_include_pad: TensorRT may count what hangs over, ONNX does not"


def _broken_einsum(node: onnx.NodeProto, _: _Values) -> Iterator[str]:
    equation = _attributes(node)["equation"]
    if not _LOWER_CASE.fullmatch(equation):
        yield f"Einsum has equation {equation!r}, expected lower-case letters and no ellipsis: TensorRT reads no others"


_MORE: Mapping[str, Callable[[onnx.NodeProto, _Values], Iterator[str]]] = {
    "TopK": _broken_top_k,
    "AveragePool": _broken_average,
    "Einsum": _broken_einsum,
}
"""What an operator is held to beside its row of the table."""


def _broken_quantization(node: onnx.NodeProto, values: _Values) -> Iterator[str]:
    """Yield what of a quantization TensorRT does not import: it has no zero point but 0, and no uint8."""
    zero_point = node.input[2] if len(node.input) > 2 else ""
    # Without a zero point ONNX quantizes to uint8.
    found = values.types.get(zero_point, TensorProto.UINT8)
    if found not in SYMMETRIC:
        yield f"{node.op_type} quantizes to {_type(found)}, expected {_types(SYMMETRIC)}: TensorRT imports no others"
    for index, what in ((1, "scale"), (2, "zero point")):
        name = node.input[index] if len(node.input) > index else ""
        if name and name not in values.constants:
            yield f"{node.op_type} has a computed {what}, expected a constant"
    if zero_point in values.constants and np.any(_floats(values.constants[zero_point])):
        yield f"{node.op_type} has a zero point other than 0: TensorRT quantizes symmetrically"
    if node.input[1] in values.constants and not np.all(_floats(values.constants[node.input[1]]) > 0):
        yield f"{node.op_type} has a scale that is not above 0"


def _read(model: onnx.ModelProto) -> _Values:
    """Collect what is known of a graph's values."""
    graph = model.graph
    try:
        inferred = onnx.shape_inference.infer_shapes(_without_weights(model)).graph
    except onnx.shape_inference.InferenceError as exc:
        raise ExportError(f"graph {graph.name!r} is not valid: {exc}") from exc
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for value in (*inferred.value_info, *graph.input, *graph.output):
        tensor = value.type.tensor_type
        types[value.name] = tensor.elem_type
        if tensor.HasField("shape"):
            ranks[value.name] = len(tensor.shape.dim)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    data = {value.name for value in graph.input} - set(constants)
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(node)
        elif node.op_type not in ("Shape", "Size") and not data.isdisjoint(node.input):
            data.update(node.output)
    return _Values(types=types, ranks=ranks, constants=constants, data=frozenset(data))


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its large constants as inputs, so that hundreds of megabytes are not copied."""
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return light


def _constant(node: onnx.NodeProto) -> TensorProto:
    """Return what a Constant node holds, empty for what no rule asks for."""
    for name, value in _attributes(node).items():
        if name == "value":
            tensor: TensorProto = value
            return tensor
        if name in ("value_int", "value_ints", "value_float", "value_floats"):
            return numpy_helper.from_array(np.asarray(value))
    return TensorProto()


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes, texts as `str`."""
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def _floats(tensor: TensorProto) -> Any:
    return numpy_helper.to_array(tensor).astype(np.float64)


def _word(name: str, value: int | str) -> str:
    return _type(int(value)) if name == "to" else str(value)


def _type(number: int) -> str:
    return str(TensorProto.DataType.Name(number)).lower()


def _types(numbers: frozenset[int]) -> str:
    return ", ".join(_type(number) for number in sorted(numbers))
