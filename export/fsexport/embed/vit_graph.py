"""CLIP's image encoder to one ONNX graph: raw pixels in, a unit embedding out, in fp32, fp16 or int8."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.contracts.steps import embed_spec, face_embedding, portrait_crop
from fsexport.artifact.onnx_file import save_onnx
from fsexport.graphs.graph_builder import IR_VERSION, OPSET

if TYPE_CHECKING:
    import onnx
    import torch

_EXAMPLE_ROWS = 2


def clip_crop(visual: torch.nn.Module) -> CropSpec:
    """Return the portrait crop that an image encoder takes."""
    side: Any = visual.image_size
    return CropSpec(kind=CropKind.PORTRAIT, side_px=int(side[0] if isinstance(side, (tuple, list)) else side))


def export_clip(visual: torch.nn.Module, out_path: Path, *, half: bool = False) -> int:
    """Export an image encoder.

    Args:
        visual: open_clip's image encoder, float32; see `load_visual_tower`.
        out_path: The ONNX file to write: uint8 (N, S, S, 3), RGB, to float32 (N, D), L2-normalized.
        half: Weights and activations in fp16; normalization of the pixels and of the embedding stay in fp32.

    Returns:
        D, the width of the embedding.

    Raises:
        ExportError: The graph is not valid.
    """
    import onnx
    import torch

    encoder, crop = _encoder(visual, half), clip_crop(visual)
    example = torch.randint(0, 256, (_EXAMPLE_ROWS, crop.side_px, crop.side_px, 3), dtype=torch.uint8)
    with torch.no_grad():
        width = int(encoder(example).shape[1])
    spec = embed_spec(crop, width)
    with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
        path = Path(folder) / "model.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch about its own parts
            torch.onnx.export(
                encoder,
                (example,),
                str(path),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=spec.max_batch_size)},),
                input_names=[portrait_crop(crop).name],
                output_names=[face_embedding(width).name],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        model = onnx.load(path)
    save_onnx(plain(_measured_after_cast(model)), out_path)
    return width


def embed_with_torch(visual: torch.nn.Module, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the encoder itself gives for crops: float32 (N, D), L2-normalized."""
    import torch

    with torch.no_grad():
        result: NDArray[np.float32] = _encoder(visual, half=False)(torch.from_numpy(crops)).numpy()
    return result


def _encoder(visual: torch.nn.Module, half: bool) -> torch.nn.Module:
    """Wrap an image encoder so that it takes raw pixels and gives a unit vector."""
    import copy

    import torch

    tower = copy.deepcopy(visual).half() if half else visual
    # open_clip puts the mean and deviation of a model's training pixels beside its encoder, in units of 0..1, RGB.
    mean: Any = visual.image_mean
    std: Any = visual.image_std

    class Encoder(torch.nn.Module):
        scale: torch.Tensor
        shift: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.visual = tower
            # (x / 255 - mean) / std as one multiplication and one addition, for (N, C, H, W).
            deviation = torch.tensor(std).view(1, 3, 1, 1)
            self.register_buffer("scale", 1.0 / (255.0 * deviation))
            self.register_buffer("shift", -torch.tensor(mean).view(1, 3, 1, 1) / deviation)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            nchw = pixels.float().permute(0, 3, 1, 2)  # (N, S, S, 3) -> (N, 3, S, S)
            normal = nchw * self.scale + self.shift
            embedding: Any = self.visual(normal.half() if half else normal)
            normalized: torch.Tensor = torch.nn.functional.normalize(embedding.float(), dim=-1)
            return normalized

    return Encoder().eval()


def _measured_after_cast(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take the shape of the pixels from their Cast to float, which TensorRT reads uint8 in alone."""
    pixels = model.graph.input[0].name
    (cast,) = (node for node in model.graph.node if node.op_type == "Cast" and node.input[0] == pixels)
    for node in model.graph.node:
        if node.op_type == "Shape" and node.input[0] == pixels:
            node.input[0] = cast.output[0]
    nodes = [cast, *(node for node in model.graph.node if node.name != cast.name)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter leaves behind: traces with paths of this machine, and a newer IR version."""
    model.ir_version = IR_VERSION
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    return model
