"""The two networks of face-api as ONNX nodes: dlib's face recogniser and the small Xception of its age and gender.

The recogniser is King's ResNet (2017, "High Quality Face Recognition with Deep Metric Learning"), trained to tell
people apart; the Xception is Mühler's (face-api.js 2018), trained for age and gender. Both take the same chip of a
face. Layers follow face-api's `FaceRecognitionNet.ts` and `TinyXception.ts`; weights are in TensorFlow's layouts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.tensors import DType
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.sources.tfjs_weights import Weights

PIXEL_MEAN = (122.782, 117.001, 104.298)
"""Red, green, blue; pixels are (x - mean) / 255 for both networks."""

RECOGNISER_SIDE_PX = 150
XCEPTION_SIDE_PX = 112
RECOGNISER_WIDTH = 128
XCEPTION_WIDTH = 512

RECOGNISER_LAYERS = (
    *("conv32_1", "conv32_2", "conv32_3"),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)
"""Residual blocks in their order; a block whose name says `down` halves the map."""

MAIN_BLOCKS = ("main_block_0", "main_block_1")


def folded(weights: Weights, layer: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return kernel (out, in, h, w) and bias (out,) of a recogniser's convolution, its scale layer folded in."""
    scale = weights[f"{layer}/scale/weights"]
    kernel = weights[f"{layer}/conv/filters"].transpose(3, 2, 0, 1) * scale[:, None, None, None]
    return kernel, weights[f"{layer}/conv/bias"] * scale + weights[f"{layer}/scale/biases"]


class FaceApiGraph:
    """Writes the networks into a graph; convolution kernels are stored as float16 and computed with in float32."""

    def __init__(self, graph: GraphBuilder, weights: Weights) -> None:
        """Take a graph and the weights of one network or of both."""
        self._graph = graph
        self._weights = weights

    def recogniser(self, chips: str) -> str:
        """Write the recogniser.

        Args:
            chips: float32 (N, 3, 150, 150), normalised.

        Returns:
            float32 (N, 128), not normalised.
        """
        graph = self._graph
        value = self._relu(self._scaled("conv32_down", chips, stride=2))
        value = graph.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])
        side = 35
        for layer in RECOGNISER_LAYERS:
            if "down" in layer:
                value, side = self._down(layer, value, side), side // 2
            else:
                value = self._residual(layer, value)
        pooled = graph.add("ReduceMean", value, graph.ints(2, 3), keepdims=0)
        return str(graph.add("MatMul", pooled, graph.constant(self._weights["fc"])))

    def xception(self, chips: str) -> str:
        """Write the Xception up to its last pooling.

        Args:
            chips: float32 (N, 3, 112, 112), normalised.

        Returns:
            float32 (N, 512).
        """
        graph = self._graph
        value = self._relu(self._plain("entry_flow/conv_in", chips, stride=2))
        value = self._reduction("entry_flow/reduction_block_0", value, activate=False)
        value = self._reduction("entry_flow/reduction_block_1", value)
        for block in MAIN_BLOCKS:
            inner = value
            for index in range(3):
                inner = self._separable(f"middle_flow/{block}/separable_conv{index}", self._relu(inner))
            value = graph.add("Add", inner, value)
        value = self._reduction("exit_flow/reduction_block", value)
        value = self._relu(self._separable("exit_flow/separable_conv", value))
        return str(graph.add("ReduceMean", value, graph.ints(2, 3), keepdims=0))

    def _residual(self, layer: str, value: str) -> str:
        inner = self._relu(self._scaled(f"{layer}/conv1", value, pads=1))
        inner = self._scaled(f"{layer}/conv2", inner, pads=1)
        return self._relu(self._graph.add("Add", inner, value))

    def _down(self, layer: str, value: str, side: int) -> str:
        """Write a block that halves the map: beside it the means of 2 x 2 pixels, and zeros for what either lacks."""
        graph = self._graph
        inner = self._relu(self._scaled(f"{layer}/conv1", value, stride=2))
        inner = self._scaled(f"{layer}/conv2", inner, pads=1)
        pooled = graph.add("AveragePool", value, kernel_shape=[2, 2], strides=[2, 2])
        width_in, width_out = self._weights[f"{layer}/conv1/conv/filters"].shape[2:]
        if width_out > width_in:
            pooled = graph.add("Pad", pooled, graph.ints(0, 0, 0, 0, 0, width_out - width_in, 0, 0))
        if side % 2 == 0:  # the convolution has no padding, and gives one row and one column less than the means
            inner = graph.add("Pad", inner, graph.ints(0, 0, 0, 0, 0, 0, 1, 1))
        return self._relu(graph.add("Add", pooled, inner))

    def _scaled(self, layer: str, value: str, *, stride: int = 1, pads: int = 0) -> str:
        kernel, bias = folded(self._weights, layer)
        return self._conv(value, kernel, bias, stride=stride, pads=[pads] * 4)

    def _plain(self, layer: str, value: str, *, stride: int) -> str:
        """Write a convolution of the Xception with stride 2 over an even side: SAME puts the odd pixel at the end."""
        kernel = self._weights[f"{layer}/filters"].transpose(3, 2, 0, 1)
        odd = kernel.shape[2] - stride if kernel.shape[2] > stride else 0
        return self._conv(value, kernel, self._weights[f"{layer}/bias"], stride=stride, pads=[0, 0, odd, odd])

    def _separable(self, layer: str, value: str) -> str:
        depthwise = self._weights[f"{layer}/depthwise_filter"].transpose(2, 3, 0, 1)
        pointwise = self._weights[f"{layer}/pointwise_filter"].transpose(3, 2, 0, 1)
        inner = self._conv(value, depthwise, None, pads=[1] * 4, group=len(depthwise))
        return self._conv(inner, pointwise, self._weights[f"{layer}/bias"])

    def _reduction(self, block: str, value: str, *, activate: bool = True) -> str:
        graph = self._graph
        inner = self._separable(f"{block}/separable_conv0", self._relu(value) if activate else value)
        inner = self._separable(f"{block}/separable_conv1", self._relu(inner))
        inner = graph.add("MaxPool", inner, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
        return str(graph.add("Add", inner, self._plain(f"{block}/expansion_conv", value, stride=2)))

    def _conv(
        self,
        value: str,
        kernel: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        *,
        stride: int = 1,
        pads: Sequence[int] = (0, 0, 0, 0),
        group: int = 1,
    ) -> str:
        graph = self._graph
        stored = graph.add("Cast", graph.constant(kernel.astype(np.float16), "kernel"), to=DType.FP32.onnx)
        inputs = [value, stored] if bias is None else [value, stored, graph.constant(bias.astype(np.float32), "bias")]
        side = kernel.shape[2]
        return str(
            graph.add(
                "Conv", *inputs, kernel_shape=[side, side], strides=[stride, stride], pads=list(pads), group=group
            )
        )

    def _relu(self, value: str) -> str:
        return str(self._graph.add("Relu", value))
