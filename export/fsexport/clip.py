"""CLIP's image encoder to one ONNX graph: raw pixels in, a unit embedding out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsengine.preprocessing import CropSpec
from fsengine.steps import embed_spec, face_embedding, portrait_crop
from fsexport.artifact import save_onnx
from fsexport.graph_builder import IR_VERSION, OPSET
from fsexport.open_clip_loader import ClipSource, load_visual_tower

if TYPE_CHECKING:
    import onnx
    import torch

# open_clip: src/open_clip/constants.py, OPENAI_DATASET_MEAN and _STD, in units of 0..1, RGB.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def export_clip(source: ClipSource, crop: CropSpec, out_path: Path) -> int:
    """Export an image encoder.

    Args:
        source: Which model.
        crop: Its input; `side_px` must be the model's own.
        out_path: The ONNX file to write: uint8 (N, S, S, 3), RGB, to float32 (N, D), L2-normalized.

    Returns:
        D, the width of the embedding.

    Raises:
        MissingDependencyError: torch or open_clip is not installed.
        ExportError: The model cannot be made, or its graph is not valid.
    """
    import onnx
    import torch

    encoder = _encoder(load_visual_tower(source))
    example = torch.randint(0, 256, (2, crop.side_px, crop.side_px, 3), dtype=torch.uint8)
    with torch.no_grad():
        width = int(encoder(example).shape[1])
    spec = embed_spec(crop, width)
    with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
        path = Path(folder) / "model.onnx"
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
    save_onnx(_plain(model), out_path)
    return width


def _encoder(visual: torch.nn.Module) -> torch.nn.Module:
    """Wrap an image encoder so that it takes raw pixels and gives a unit vector."""
    import torch

    class Encoder(torch.nn.Module):
        scale: torch.Tensor
        shift: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.visual = visual
            # (x / 255 - mean) / std as one multiplication and one addition, for (N, C, H, W).
            std = torch.tensor(CLIP_STD).view(1, 3, 1, 1)
            self.register_buffer("scale", 1.0 / (255.0 * std))
            self.register_buffer("shift", -torch.tensor(CLIP_MEAN).view(1, 3, 1, 1) / std)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            nchw = pixels.permute(0, 3, 1, 2).float()  # (N, S, S, 3) -> (N, 3, S, S)
            embedding: Any = self.visual(nchw * self.scale + self.shift)
            normalized: torch.Tensor = torch.nn.functional.normalize(embedding, dim=-1)
            return normalized

    return Encoder().eval()


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
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
