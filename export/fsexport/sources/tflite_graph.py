"""Convert a TFLite network of convolutions to ONNX.

Inside the ONNX graph activations are NCHW, so that convolutions need no transposes and the batch axis is free;
TFLite's are NHWC. `RESHAPE` goes back to NHWC first, so flattened values come in TFLite's order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import ExportError
from fsexport.artifact.onnx_file import save_onnx
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.sources.tflite_weights import tensor_constant

_SAME_PADDING = 0
_NCHW_AXIS = (0, 2, 3, 1)
"""Axis of the NCHW tensor for each axis of the NHWC one; as a permutation it turns NCHW into NHWC."""
_ACTIVATIONS = {0: None, 1: "Relu"}
"""`ActivationFunctionType` of TensorFlow's lite/schema/schema.fbs to the ONNX operator."""


class TfliteNetwork:
    """A TFLite flatbuffer, to be written into ONNX graphs.

    Attributes:
        input_shape: (1, H, W, C) of its one input.
        output_names: Its outputs, in the file's order.
    """

    def __init__(self, content: bytes) -> None:
        import tflite

        self._model = tflite.Model.GetRootAs(content, 0)
        self._graph = self._model.Subgraphs(0)
        if self._model.SubgraphsLength() != 1 or self._graph.InputsLength() != 1:
            raise ExportError(
                f"the TFLite file has {self._model.SubgraphsLength()} subgraphs and {self._graph.InputsLength()} "
                "inputs; expected one of each"
            )
        self._operator_names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
        self._tensors = [self._graph.Tensors(i) for i in range(self._graph.TensorsLength())]
        self._names: list[str] = [tensor.Name().decode() for tensor in self._tensors]
        self.input_shape = self._shape(self._graph.Inputs(0))
        self.output_names = [self._names[self._graph.Outputs(i)] for i in range(self._graph.OutputsLength())]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that the file gives a tensor, batch axis 1, NHWC where it has four axes."""
        return self._shape(self._index(name))

    def write(self, builder: GraphBuilder, nchw_input: str, wanted: Sequence[str] | None = None) -> list[str]:
        """Write the network into a graph.

        Args:
            builder: The graph.
            nchw_input: Name of a float32 (N, C, H, W) value in the range that the network wants.
            wanted: TFLite names of the tensors to return, inner ones as well; default the file's outputs.

        Returns:
            Names of the wanted values: (N, C, H, W) for tensors of four axes, else in TFLite's layout.
        """
        indices = [self._index(name) for name in (self.output_names if wanted is None else wanted)]
        writer = _Writer(self, builder)
        writer.values[self._graph.Inputs(0)] = nchw_input
        for operator in self._operators_behind(indices):
            writer.write(operator)
        return [writer.values[index] for index in indices]

    def _shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(size) for size in self._tensors[index].ShapeAsNumpy())

    def _index(self, name: str) -> int:
        if name not in self._names:
            raise ExportError(f"the TFLite file has no tensor {name!r}; its outputs are {self.output_names}")
        return self._names.index(name)

    def _operators_behind(self, tensors: Sequence[int]) -> list[Any]:
        """Return the operators that the given tensors depend on, in the file's order."""
        needed, operators = set(tensors), []
        for position in reversed(range(self._graph.OperatorsLength())):
            operator = self._graph.Operators(position)
            if needed.intersection(operator.Outputs(i) for i in range(operator.OutputsLength())):
                needed.update(operator.Inputs(i) for i in range(operator.InputsLength()))
                operators.append(operator)
        return operators[::-1]

    def operator_name(self, operator: Any) -> str:
        """Return the name of an operator in `BuiltinOperator`."""
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        # codes below 127 stand in the old one-byte field
        return str(self._operator_names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())])

    def constant(self, index: int) -> NDArray[Any] | None:
        """Return the constant that tensor number `index` holds, or None."""
        return tensor_constant(self._model, self._tensors[index])


class _Writer:
    """Writes the operators of one network into one graph."""

    def __init__(self, network: TfliteNetwork, builder: GraphBuilder) -> None:
        self._network = network
        self._builder = builder
        self._folded: dict[int, NDArray[Any]] = {}
        self.values: dict[int, str] = {}
        """ONNX value of each TFLite tensor that has been computed."""
        self._operators: dict[str, Callable[[Any], str]] = {
            "ADD": self._add,
            "CONCATENATION": self._concatenation,
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._depthwise_conv,
            "DEPTH_TO_SPACE": self._depth_to_space,
            "MAX_POOL_2D": self._max_pool,
            "PAD": self._pad,
            "PRELU": self._prelu,
            "RELU": lambda op: str(self._builder.add("Relu", self.values[op.Inputs(0)])),
            "RESHAPE": self._reshape,
            "RESIZE_BILINEAR": self._resize_bilinear,
        }

    def write(self, operator: Any) -> None:
        """Write one operator, whose inputs have been written before."""
        kind = self._network.operator_name(operator)
        if kind in ("DEQUANTIZE", "DENSIFY"):  # float16 or sparse weights: the constant itself
            self._folded[operator.Outputs(0)] = self._constant(operator.Inputs(0))
        elif kind in self._operators:
            self.values[operator.Outputs(0)] = self._operators[kind](operator)
        else:
            raise ExportError(f"TFLite operator {kind} is not converted; known are {sorted(self._operators)}")

    def _constant(self, index: int) -> NDArray[Any]:
        """Return a tensor that is known now; floats as float32."""
        value = self._folded.get(index)
        if value is None:
            value = self._network.constant(index)
        if value is None:
            raise ExportError(f"TFLite tensor {index} is computed at run time where a constant was expected")
        return value.astype(np.float32) if value.dtype == np.float16 else value

    @staticmethod
    def _options(operator: Any, kind: str) -> Any:
        import tflite

        options = getattr(tflite, kind)()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def _activated(self, value: str, function: int) -> str:
        if function not in _ACTIVATIONS:
            raise ExportError(f"TFLite activation {function} is not converted; known are {sorted(_ACTIVATIONS)}")
        activation = _ACTIVATIONS[function]
        return value if activation is None else str(self._builder.add(activation, value))

    def _pads(self, operator: Any, options: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> list[int]:
        """Return [top, left, bottom, right] as TensorFlow pads for SAME: the odd pixel goes to the end."""
        if options.Padding() != _SAME_PADDING:
            return [0, 0, 0, 0]
        _, *size, _ = self._network._shape(operator.Inputs(0))
        begin, end = [], []
        for pixels, step, k, d in zip(size, (options.StrideH(), options.StrideW()), kernel, dilation, strict=True):
            total = max((-(-pixels // step) - 1) * step + (k - 1) * d + 1 - pixels, 0)
            begin.append(total // 2)
            end.append(total - total // 2)
        return begin + end

    def _convolved(self, operator: Any, options: Any, weights: NDArray[Any], group: int) -> str:
        """Write a convolution; weights float32 (O, I / group, kH, kW)."""
        kernel = (weights.shape[2], weights.shape[3])
        dilation = (options.DilationHFactor(), options.DilationWFactor())
        value = self._builder.add(
            "Conv",
            self.values[operator.Inputs(0)],
            self._builder.constant(weights, "weights"),
            self._builder.constant(self._constant(operator.Inputs(2)), "bias"),
            group=group,
            kernel_shape=kernel,
            strides=[options.StrideH(), options.StrideW()],
            dilations=dilation,
            pads=self._pads(operator, options, kernel, dilation),
        )
        return self._activated(value, options.FusedActivationFunction())

    def _conv(self, operator: Any) -> str:
        weights = self._constant(operator.Inputs(1)).transpose(0, 3, 1, 2)  # (O, kH, kW, I) -> (O, I, kH, kW)
        return self._convolved(operator, self._options(operator, "Conv2DOptions"), weights, group=1)

    def _depthwise_conv(self, operator: Any) -> str:
        weights = self._constant(operator.Inputs(1)).transpose(3, 0, 1, 2)  # (1, kH, kW, O) -> (O, 1, kH, kW)
        channels = self._network._shape(operator.Inputs(0))[3]
        return self._convolved(operator, self._options(operator, "DepthwiseConv2DOptions"), weights, group=channels)

    def _add(self, operator: Any) -> str:
        value = self._builder.add("Add", self.values[operator.Inputs(0)], self.values[operator.Inputs(1)])
        return self._activated(value, self._options(operator, "AddOptions").FusedActivationFunction())

    def _concatenation(self, operator: Any) -> str:
        options = self._options(operator, "ConcatenationOptions")
        rank = len(self._network._shape(operator.Inputs(0)))
        axis = options.Axis() % rank
        inputs = [self.values[operator.Inputs(i)] for i in range(operator.InputsLength())]
        value = self._builder.add("Concat", *inputs, axis=_NCHW_AXIS[axis] if rank == 4 else axis)
        return self._activated(value, options.FusedActivationFunction())

    def _depth_to_space(self, operator: Any) -> str:
        block = self._options(operator, "DepthToSpaceOptions").BlockSize()
        return str(self._builder.add("DepthToSpace", self.values[operator.Inputs(0)], blocksize=block, mode="DCR"))

    def _max_pool(self, operator: Any) -> str:
        options = self._options(operator, "Pool2DOptions")
        kernel = (options.FilterHeight(), options.FilterWidth())
        value = self._builder.add(
            "MaxPool",
            self.values[operator.Inputs(0)],
            kernel_shape=kernel,
            strides=[options.StrideH(), options.StrideW()],
            pads=self._pads(operator, options, kernel, (1, 1)),
        )
        return self._activated(value, options.FusedActivationFunction())

    def _pad(self, operator: Any) -> str:
        nhwc = self._constant(operator.Inputs(1)).astype(np.int64)  # (4, 2)
        nchw = nhwc[[0, 3, 1, 2]]
        return str(self._builder.add("Pad", self.values[operator.Inputs(0)], self._builder.ints(*nchw.T.reshape(-1))))

    def _prelu(self, operator: Any) -> str:
        slope = self._constant(operator.Inputs(1)).transpose(2, 0, 1)  # (1, 1, C) -> (C, 1, 1)
        return str(self._builder.add("PRelu", self.values[operator.Inputs(0)], self._builder.constant(slope, "slope")))

    def _reshape(self, operator: Any) -> str:
        nhwc = self._builder.add("Transpose", self.values[operator.Inputs(0)], perm=_NCHW_AXIS)
        _, _, *rest = self._network._shape(operator.Outputs(0))
        # the second axis is left open, so that the network can look at frames larger than its own
        return str(self._builder.add("Reshape", nhwc, self._builder.ints(0, -1, *rest)))

    def _resize_bilinear(self, operator: Any) -> str:
        options = self._options(operator, "ResizeBilinearOptions")
        _, height, width, _ = self._network._shape(operator.Inputs(0))
        _, new_height, new_width, _ = self._network._shape(operator.Outputs(0))
        mode = "align_corners" if options.AlignCorners() else "asymmetric"
        scales = np.array([1, 1, new_height / height, new_width / width], np.float32)
        return str(
            self._builder.add(
                "Resize",
                self.values[operator.Inputs(0)],
                "",
                self._builder.constant(scales, "scales"),
                mode="linear",
                coordinate_transformation_mode="half_pixel" if options.HalfPixelCenters() else mode,
            )
        )


def export_tflite(content: bytes, out_path: Path, extra_outputs: Sequence[str] = ()) -> Path:
    """Convert a TFLite file to an ONNX file of the same interface, with a free batch axis.

    Args:
        content: The flatbuffer.
        out_path: The ONNX file.
        extra_outputs: TFLite names of inner tensors to give out behind the file's outputs.

    Returns:
        `out_path`. Its input `input` is float32 (N, H, W, C); outputs have the TFLite names and layouts.
    """
    from onnx import TensorProto, helper

    network = TfliteNetwork(content)
    builder = GraphBuilder(prefix="tflite_")
    nchw = builder.add("Transpose", "input", perm=[0, 3, 1, 2])
    names = [*network.output_names, *extra_outputs]
    outputs = []
    for name, value in zip(names, network.write(builder, nchw, names), strict=True):
        shape = network.shape(name)
        in_layout = builder.add("Transpose", value, perm=_NCHW_AXIS) if len(shape) == 4 else value
        builder.rename(in_layout, name)
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape[1:]]))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *network.input_shape[1:]])]
    return save_onnx(builder.model("tflite", inputs, outputs), out_path)
