"""CLIP's image encoder as the embed step, in fp32, fp16 or int8, compared with open_clip itself on real crops."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path

from fsengine.steps import EMBED, embed_spec, face_embedding, portrait_crop
from fsexport.artifacts.photo_digest import photo_digest
from fsexport.clip import clip_crop, embed_with_torch, export_clip
from fsexport.clip_int8 import quantize_encoder
from fsexport.exported import Exported, ExportJob, Made, Origin, export_artifact
from fsexport.face_crops import all_faces
from fsexport.open_clip_loader import ClipSource, load_visual_tower
from fsexport.ort_run import run_graph
from fsexport.parity import compare

UNTRAINED = "untrained weights"


class Precision(str, Enum):
    """In what an encoder computes.

    FP32: Anywhere.
    FP16: For a GPU: TensorRT takes the precision from the graph.
    INT8: For a CPU: static scales, calibrated on real crops.
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


# fp32: two runtimes sum the same products in another order. fp16 keeps 11 bits. int8 has no limit of its own that
# fits every model; its floor finds a conversion that is broken, and the report says how good it is.
_LIMITS: dict[Precision, tuple[float | None, float]] = {
    Precision.FP32: (1e-4, 0.99999),
    Precision.FP16: (5e-3, 0.9995),
    Precision.INT8: (None, 0.95),
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

    def make(path: Path) -> Made:
        visual = load_visual_tower(source)
        crop = clip_crop(visual)
        faces = all_faces(photos, crop)
        # What int8 is calibrated on is not what it is compared on.
        calibration, compared = faces.crops[::2], faces.crops
        if precision is Precision.INT8:
            compared = faces.crops[1::2]
            with tempfile.TemporaryDirectory(prefix="facestats-") as beside:
                full = Path(beside) / "fp32.onnx"
                width = export_clip(visual, full)
                quantize_encoder(full, calibration, path)
        else:
            width = export_clip(visual, path, half=precision is Precision.FP16)
        found = run_graph(path, {portrait_crop(crop).name: compared}, half=precision is Precision.FP16)
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
        return Made(spec=embed_spec(crop, width), crop=crop, parity=(row,))

    return export_artifact(job, folder, make, say)


def _note(source: ClipSource, precision: Precision) -> str:
    if precision is not Precision.INT8:
        return "" if source.trained else "seeded weights"
    if not source.trained:
        return "seeded weights: the accuracy of int8 is not known"
    return "how much a task loses is not known from cosines: measure it on yours"
