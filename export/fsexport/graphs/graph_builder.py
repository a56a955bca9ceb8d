"""Write an ONNX graph node by node, in the dialect that every runtime of the project loads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

OPSET = 18
IR_VERSION = 10
"""The newest pair that ONNX Runtime 1.28 and TensorRT 10 both load; onnx itself writes newer ones by default."""

HALF_QUANTIZED_OPSET = 21
"""Of graphs that quantize fp16 or to float8, and of no others: QuantizeLinear takes these from opset 19 on, but ONNX
Runtime 1.28 moves a Transpose past it, which takes float8 from opset 21 on. TensorRT 10.15 takes opsets up to 24."""


@dataclass(slots=True)
class GraphBuilder:
    """Nodes and constants of a graph that is being written.

    Values are known by name. Every name that the builder makes starts with `prefix` and is unique.
    """

    prefix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    _constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _count: int = 0

    def fresh_name(self, hint: str) -> str:
        """Return a name that no value of this graph has yet."""
        self._count += 1
        return f"{self.prefix}{hint}_{self._count}"

    def constant(self, value: NDArray[Any], hint: str = "constant") -> str:
        """Add an initializer, or find the equal one that is there already, and return its name."""
        from onnx import numpy_helper

        value = np.ascontiguousarray(value).reshape(value.shape)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constants:
            name = self.fresh_name(hint)
            self.initializers.append(numpy_helper.from_array(value, name))
            self._constants[key] = name
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """Add an int64 (len(values),) constant and return its name."""
        return self.constant(np.array(values, np.int64), "ints")

    def number(self, value: float) -> str:
        """Add a float32 scalar and return its name."""
        return self.constant(np.float32(value).reshape(()), "number")

    def add(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node.

        Args:
            op_type: Name of an operator of the ONNX domain.
            *inputs: Names of its inputs; an empty name leaves an optional one out.
            outputs: How many outputs to name.
            **attributes: Its attributes.

        Returns:
            The name of the output, or a list of names where `outputs` is above 1.
        """
        from onnx import helper

        names = [self.fresh_name(op_type.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def rename(self, value: str, name: str, to: int | None = None) -> None:
        """Give a value its public name, for a graph output; `to`, an element type, casts it on the way."""
        from onnx import helper

        if to is None:
            node = helper.make_node("Identity", [value], [name], name=name)
        else:
            node = helper.make_node("Cast", [value], [name], name=name, to=to)
        self.nodes.append(node)

    def model(
        self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the finished model; `onnx.checker` has passed it, shapes inferred strictly."""
        import onnx
        from onnx import helper

        graph = helper.make_graph(self.nodes, name, inputs, outputs, initializer=self.initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="fsexport",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
