"""InsightFace's age and gender networks as the age_gender step, compared with the networks themselves on real crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import CropSpec
from fsengine.contracts.served import GENDER
from fsengine.contracts.steps import AGE_GENDER, AGE_YEARS, age_gender_crop, age_gender_spec, gender_probability
from fsengine.errors import ExportError
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, Origin, export_artifact
from fsexport.artifact.onnx_file import run_graph
from fsexport.artifact.parity import compare
from fsexport.graphs.graph_splice import network_inputs, read_network
from fsexport.heads.genderage import BUFFALO_CROP, GENDER_LABELS, V1_CROP, export_genderage, normalizes_itself
from fsexport.inputs.decoded_photos import photo_digest
from fsexport.inputs.real_faces import all_faces

PROBABILITY_LIMIT = 1e-4
# An age is a sum of a hundred decisions (v1) or a number of years; float32 keeps either to far less than a year.
AGE_LIMIT_YEARS = 0.01


def export_age_gender_artifact(
    source: Path, origin: Origin, photos: Sequence[Path], folder: Path, say: Callable[[str], None]
) -> Exported:
    """Export an age/gender network; its layout is told by its input.

    Args:
        source: The ONNX file.
        origin: Where it comes from.
        photos: Real photos to compare on.
        folder: Where the artifact shall lie.
        say: Called with each line for people.

    Raises:
        InvalidInputError: No face is found on the photos.
        ExportError: The file has another layout, or the export differs from it.
    """
    crop = network_crop(source)
    job = ExportJob(
        step=AGE_GENDER,
        origin=origin,
        options={"crop": crop.kind.value, "side_px": crop.side_px, "photos": photo_digest(photos)},
        libraries=("onnx", "onnxruntime"),
    )

    def make(path: Path) -> ExportResult:
        export_genderage(source, crop, path)
        faces = all_faces(photos, crop)
        spec = age_gender_spec(age_gender_crop(crop))
        found = run_graph(path, {spec.inputs[0].name: faces.crops})
        gender, years = _source_answers(source, faces.crops)
        reference = "the source's own network in ONNX Runtime"
        parity = (
            compare(
                found[gender_probability(2).name],
                gender,
                quantity="gender probability",
                reference=reference,
                inputs=faces.text,
                limit=PROBABILITY_LIMIT,
            ),
            compare(
                found[AGE_YEARS.name],
                years,
                quantity="age, years",
                reference=reference,
                inputs=faces.text,
                limit=AGE_LIMIT_YEARS,
            ),
        )
        return ExportResult(spec=spec, crop=crop, labels={GENDER: GENDER_LABELS}, parity=parity)

    return export_artifact(job, folder, make, say)


def network_crop(source: Path) -> CropSpec:
    """Return the crop that a network was trained on, told by the side of its input.

    Raises:
        ExportError: It is of no known layout.
    """
    inputs = network_inputs(read_network(source))
    sides = [size.dim_value for size in inputs[0].type.tensor_type.shape.dim[2:]] if len(inputs) == 1 else []
    side = sides[0] if sides else 0
    for crop in (V1_CROP, BUFFALO_CROP):
        if crop.side_px == side:
            return crop
    raise ExportError(
        f"{source} has {len(inputs)} inputs, the first {side or 'any number of'} px wide; expected one of "
        f"{V1_CROP.side_px} px (InsightFace's gender-age v1) or {BUFFALO_CROP.side_px} px (its genderage)"
    )


def _source_answers(source: Path, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return gender probabilities (N, 2) and years (N, 1) from the source network, decoded in NumPy."""
    network = read_network(source)
    pixels = crops.transpose(0, 3, 1, 2).astype(np.float32)  # (N, S, S, 3) -> (N, 3, S, S)
    if not normalizes_itself(network):
        pixels = (pixels - 127.5) / 128.0
    name = network_inputs(network)[0].name
    # One at a time: what the files say of their batch axis is not to be trusted.
    (raw,) = run_graph(source, {name: pixels}, rows=1).values()
    odds = np.exp(raw[:, :2].astype(np.float64))
    if raw.shape[1] == 3:
        years = raw[:, 2:3] * 100.0
    else:
        years = raw[:, 2:].reshape(len(raw), -1, 2).argmax(axis=2).sum(axis=1, keepdims=True)
    return odds / odds.sum(axis=1, keepdims=True), years.astype(np.float64)
