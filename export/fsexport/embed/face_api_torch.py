"""The two networks of face-api in torch, written from its sources and not from the graph, which is compared with them.

Weights are taken as they are, in float32 and in TensorFlow's layouts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsexport.sources.tfjs_weights import Weights

if TYPE_CHECKING:
    import torch

_BATCH = 32


def recogniser_in_torch(weights: Weights, chips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what `FaceRecognitionNet` gives, float32 (N, 128), for float32 (N, 3, 150, 150), normalised."""
    import torch
    from torch.nn import functional

    def layer(value: torch.Tensor, name: str, stride: int = 1, padding: int | str = "same") -> torch.Tensor:
        kernel, bias = (torch.from_numpy(weights[f"{name}/conv/{part}"]) for part in ("filters", "bias"))
        scale, shift = (torch.from_numpy(weights[f"{name}/scale/{part}"]) for part in ("weights", "biases"))
        convolved = functional.conv2d(value, kernel.permute(3, 2, 0, 1), bias, stride=stride, padding=padding)
        return convolved * scale[:, None, None] + shift[:, None, None]

    def block(value: torch.Tensor, name: str) -> torch.Tensor:
        down = "down" in name
        first = functional.relu(layer(value, f"{name}/conv1", 2 if down else 1, 0 if down else "same"))
        second = layer(first, f"{name}/conv2")
        beside = functional.avg_pool2d(value, 2) if down else value
        whole = beside.new_zeros((len(value), second.shape[1], *beside.shape[2:]))
        whole[:, : beside.shape[1]] += beside
        whole[:, :, : second.shape[2], : second.shape[3]] += second
        return functional.relu(whole)

    names = dict.fromkeys(name.split("/")[0] for name in weights if name.startswith("conv") and "/conv1/" in name)

    def run(part: torch.Tensor) -> torch.Tensor:
        value = functional.relu(layer(part, "conv32_down", 2, 0))
        value = functional.max_pool2d(value, 3, 2)
        for name in names:
            value = block(value, name)
        return value.mean((2, 3)) @ torch.from_numpy(weights["fc"])

    return _in_parts(run, chips)


def xception_in_torch(weights: Weights, chips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the 512 pooled numbers of `TinyXception`, float32 (N, 512), for float32 (N, 3, 112, 112), normalised."""
    import torch
    from torch.nn import functional

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(weights[name])

    def same(value: torch.Tensor, kernel: int, stride: int, fill: float = 0.0) -> torch.Tensor:
        """Pad as TensorFlow's SAME does: the odd pixel at the end."""
        side = value.shape[2]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        begin, end = total // 2, total - total // 2
        return functional.pad(value, (begin, end, begin, end), value=fill)

    def conv(value: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        kernel = tensor(f"{name}/filters").permute(3, 2, 0, 1)
        return functional.conv2d(same(value, kernel.shape[2], stride), kernel, tensor(f"{name}/bias"), stride=stride)

    def separable(value: torch.Tensor, name: str) -> torch.Tensor:
        depthwise = tensor(f"{name}/depthwise_filter").permute(2, 3, 0, 1)
        pointwise = tensor(f"{name}/pointwise_filter").permute(3, 2, 0, 1)
        inner = functional.conv2d(same(value, 3, 1), depthwise, groups=len(depthwise))
        return functional.conv2d(inner, pointwise, tensor(f"{name}/bias"))

    def reduction(value: torch.Tensor, name: str, activate: bool = True) -> torch.Tensor:
        inner = separable(functional.relu(value) if activate else value, f"{name}/separable_conv0")
        inner = separable(functional.relu(inner), f"{name}/separable_conv1")
        pooled = functional.max_pool2d(same(inner, 3, 2, float("-inf")), 3, 2)
        return pooled + conv(value, f"{name}/expansion_conv", 2)

    def run(part: torch.Tensor) -> torch.Tensor:
        value = functional.relu(conv(part, "entry_flow/conv_in", 2))
        value = reduction(value, "entry_flow/reduction_block_0", activate=False)
        value = reduction(value, "entry_flow/reduction_block_1")
        for block in (0, 1):
            inner = value
            for index in (0, 1, 2):
                inner = separable(functional.relu(inner), f"middle_flow/main_block_{block}/separable_conv{index}")
            value = value + inner
        value = reduction(value, "exit_flow/reduction_block")
        value = functional.relu(separable(value, "exit_flow/separable_conv"))
        return functional.avg_pool2d(value, 7)[:, :, 0, 0]

    return _in_parts(run, chips)


def _in_parts(run: Any, chips: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        parts = [run(torch.from_numpy(chips[start : start + _BATCH])) for start in range(0, len(chips), _BATCH)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)
