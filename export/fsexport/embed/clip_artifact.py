"""CLIP's image encoder as the embed step, in any precision, compared with open_clip itself on real crops."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.steps import EMBED, answer_copy, embed_spec, face_embedding, portrait_crop
from fsengine.contracts.tensors import TensorSpec
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, Origin, export_artifact
from fsexport.artifact.onnx_file import run_graph, save_onnx
from fsexport.artifact.parity import compare
from fsexport.artifact.precision import Precision
from fsexport.embed.open_clip_loader import ClipSource, load_visual_tower
from fsexport.embed.static_int8 import quantize_encoder
from fsexport.embed.symmetric_qdq import FP8, INT8_SYMMETRIC, quantize_half_encoder
from fsexport.embed.vit_graph import clip_crop, embed_with_torch, export_clip
from fsexport.graphs.contract_io import spec_values
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.inputs.decoded_photos import photo_digest
from fsexport.inputs.real_faces import all_faces

UNTRAINED = "untrained weights"


_CALIBRATED = (Precision.INT8, Precision.INT8_SYMMETRIC, Precision.FP8)

# fp32: two runtimes sum the same products in another order. fp16 keeps 11 bits. Eight bits have no limit of their own
# that fits every model; their floor finds a conversion that is broken, and the report says how good it is.
_LIMITS: dict[Precision, tuple[float | None, float]] = {
    Precision.FP32: (1e-4, 0.99999),
    Precision.FP16: (5e-3, 0.9995),
    **dict.fromkeys(_CALIBRATED, (None, 0.95)),
}


def export_clip_artifact(
    source: ClipSource,
    origin: Origin,
    precision: Precision,
    photos: Sequence[Path],
    folder: Path,
    say: Callable[[str], None],
) -> Exported:
    """Export an encoder.

    Args:
        source: Which weights.
        origin: Where they come from.
        precision: Of the artifact.
        photos: Real photos; the faces on them are what it is calibrated on and compared with.
        folder: Where the artifact shall lie.
        say: Called with each line for people.

    Raises:
        InvalidInputError: The activation does not match, or no face is found on the photos.
        MissingDependencyError: torch or open_clip is not installed.
        ExportError: The checkpoint does not fit, or the export differs from it.
    """
    job = ExportJob(
        step=EMBED,
        origin=origin,
        precision=precision.value,
        options={
            "architecture": source.architecture,
            "seed": None if source.trained else source.seed,
            "photos": photo_digest(photos),
        },
        libraries=("onnx", "onnxruntime", "open_clip_torch", "torch"),
    )

    def make(path: Path) -> ExportResult:
        visual = load_visual_tower(source)
        crop = clip_crop(visual)
        faces = all_faces(photos, crop)
        compared = faces.crops
        if precision in _CALIBRATED:
            # What it is calibrated on is not what it is compared on.
            calibration, compared = faces.crops[::2], faces.crops[1::2]
            with tempfile.TemporaryDirectory(prefix="facestats-") as temporary:
                full = Path(temporary) / "full.onnx"
                width = export_clip(visual, full, half=precision.half)
                _quantize(full, calibration, path, precision)
        else:
            width = export_clip(visual, path, half=precision.half)
        _give_twice(path, face_embedding(width), tensorrt=precision is not Precision.INT8)
        found = run_graph(path, {portrait_crop(crop).name: compared}, half=precision.half)
        limit, cosine_limit = _LIMITS[precision]
        row = compare(
            found[face_embedding(width).name],
            embed_with_torch(visual, compared),
            quantity="embedding",
            reference="open_clip in torch, fp32",
            inputs=f"{len(compared)} face crops of {faces.photos} photos",
            limit=limit,
            cosine_limit=cosine_limit,
            note=_note(source, precision),
        )
        return ExportResult(spec=embed_spec(crop, width), crop=crop, parity=(row,))

    return export_artifact(job, folder, make, say)


def _give_twice(path: Path, tensor: TensorSpec, *, tensorrt: bool) -> None:
    """Give an output of a graph once more, under the name of its copy; see `fsengine.contracts.steps.answer_copy`."""
    import onnx

    model = onnx.load(path)
    builder = GraphBuilder()
    builder.rename(tensor.name, answer_copy(tensor).name)
    model.graph.node.extend(builder.nodes)
    model.graph.output.extend(spec_values([answer_copy(tensor)], batched=True))
    save_onnx(model, path, tensorrt=tensorrt)


def _quantize(source: Path, crops: NDArray[np.uint8], out_path: Path, precision: Precision) -> None:
    """Write the quantized form of a graph in fp32 or fp16."""
    match precision:
        case Precision.INT8:
            quantize_encoder(source, crops, out_path)
        case Precision.INT8_SYMMETRIC:
            quantize_half_encoder(source, crops, out_path, INT8_SYMMETRIC)
        case Precision.FP8:
            quantize_half_encoder(source, crops, out_path, FP8)
        case _:
            raise AssertionError(f"{precision.value} is not quantized")


def _note(source: ClipSource, precision: Precision) -> str:
    if precision not in _CALIBRATED:
        return "" if source.trained else "seeded weights"
    if not source.trained:
        return f"seeded weights: the accuracy of {precision.value} is not known"
    return "how much a task loses is not known from cosines: measure it on yours"
