"""Symmetric int8 or float8 of an fp16 encoder, for TensorRT: it takes the precision from the graph.

QuantizeLinear and DequantizeLinear stand around the constant matrix products, whose zero points are 0, because
TensorRT imports no others (`onnx_rules`). Everything between them stays in fp16, the final norm in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fsexport.artifact.onnx_file import save_onnx
from fsexport.embed.calibration import largest_magnitudes
from fsexport.graphs.graph_builder import HALF_QUANTIZED_OPSET

_LEAST_SCALE = 2.0**-14
"""The smallest fp16 number of full precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """What numbers are quantized to.

    Attributes:
        dtype: The element type; NumPy has no float8 of its own.
        largest: The largest number of it.
        per_channel: Whether each column of a weight has a scale of its own; float8 has exponents to do without.
    """

    dtype: np.dtype[Any]
    largest: float
    per_channel: bool


_FLOAT8 = helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT8E4M3FN)

INT8_SYMMETRIC = Quantization(dtype=np.dtype(np.int8), largest=127.0, per_channel=True)
FP8 = Quantization(dtype=_FLOAT8, largest=448.0, per_channel=False)


def quantize_half_encoder(source: Path, crops: NDArray[np.uint8], out_path: Path, to: Quantization) -> Path:
    """Write the quantized form of an fp16 encoder.

    Activations have one scale per tensor, by the largest magnitude that they take on the crops.

    Args:
        source: The fp16 graph; see `export_clip`.
        crops: uint8 (N, S, S, 3), RGB, real ones: their activations set the scales.
        out_path: The ONNX file to write.
        to: What to quantize to.

    Raises:
        ExportError: There are too few crops, or the graph breaks a rule.
    """
    model = onnx.load(source)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights]
    activations = list(dict.fromkeys(node.input[0] for node in products))
    largest = largest_magnitudes(model, activations, TensorProto.FLOAT16, crops)
    # From 18 on, the operators of these graphs took more types and changed nothing else.
    model.opset_import[0].version = HALF_QUANTIZED_OPSET
    _Quantizer(model, to).write(products, weights, largest)
    return save_onnx(model, out_path)


class _Quantizer:
    """Rewrites a graph in place."""

    def __init__(self, model: onnx.ModelProto, to: Quantization) -> None:
        self._graph = model.graph
        self._to = to
        self._before: dict[str, list[onnx.NodeProto]] = {}

    def write(
        self,
        products: list[onnx.NodeProto],
        weights: Mapping[str, TensorProto],
        largest: Mapping[str, float],
    ) -> None:
        """Put a product's two inputs through the smaller type.

        Args:
            products: MatMul and Gemm nodes with a constant second input.
            weights: Constants by name.
            largest: Activation to its largest magnitude.
        """
        done: dict[str, str] = {}
        for node in products:
            activation, weight = node.input[0], node.input[1]
            if activation not in done:
                done[activation] = self._activation(node, largest[activation])
            if weight not in done:
                done[weight] = self._weight(node, numpy_helper.to_array(weights[weight]).astype(np.float32))
            node.input[0], node.input[1] = done[activation], done[weight]
        nodes = [made for node in self._graph.node for made in (*self._before.get(node.name, ()), node)]
        kept = [tensor for tensor in self._graph.initializer if tensor.name not in done]
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(nodes)
        self._graph.initializer.extend(kept)

    def _activation(self, node: onnx.NodeProto, largest: float) -> str:
        """Write both steps before a node and return the value after them."""
        name = node.input[0]
        scale = self._scale(np.float32(largest))
        constants = [self._constant(f"{name}_scale", scale), self._zero_point(name, scale)]
        self._add(node, "QuantizeLinear", [name, *constants], f"{name}_quantized")
        return self._add(node, "DequantizeLinear", [f"{name}_quantized", *constants], f"{name}_dequantized")

    def _weight(self, node: onnx.NodeProto, weight: NDArray[np.float32]) -> str:
        """Store a weight in the smaller type and return the value after its DequantizeLinear."""
        name = node.input[1]
        axis = 0 if any(item.name == "transB" and item.i for item in node.attribute) else 1
        largest = np.abs(weight).max(axis=1 - axis) if self._to.per_channel else np.abs(weight).max()
        scale = self._scale(largest)
        steps = weight / (np.expand_dims(scale, 1 - axis) if self._to.per_channel else scale).astype(np.float32)
        if np.issubdtype(self._to.dtype, np.integer):
            steps = np.rint(steps)
        stored = np.clip(steps, -self._to.largest, self._to.largest).astype(self._to.dtype)
        inputs = [
            self._constant(f"{name}_quantized", stored),
            self._constant(f"{name}_scale", scale),
            self._zero_point(name, scale),
        ]
        attributes = {"axis": axis} if self._to.per_channel else {}
        return self._add(node, "DequantizeLinear", inputs, f"{name}_dequantized", **attributes)

    def _scale(self, largest: Any) -> NDArray[np.float16]:
        """Return the step for magnitudes up to `largest`, a number or one for each channel."""
        return np.asarray(np.maximum(largest / self._to.largest, _LEAST_SCALE), np.float16)

    def _zero_point(self, name: str, scale: NDArray[np.float16]) -> str:
        return self._constant(f"{name}_zero_point", np.zeros(scale.shape, self._to.dtype))

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _add(self, node: onnx.NodeProto, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        made = helper.make_node(op_type, inputs, [output], name=output, **attributes)
        self._before.setdefault(node.name, []).append(made)
        return output
