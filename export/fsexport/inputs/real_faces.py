"""Real faces as inputs of exports: photos through the steps that serve, decode, detect and align."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import CropSpec
from fsengine.contracts.steps import DETECT, DETECTOR_INPUT, FACE_SCORE, detected
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import shipped_folder
from fsexport.align.align_graph import export_align
from fsexport.inputs.decoded_photos import decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCrops:
    """Crops of real faces.

    Attributes:
        crops: uint8 (N, S, S, 3), RGB.
        photos: How many photos they come from.
    """

    crops: NDArray[np.uint8]
    photos: int

    @property
    def text(self) -> str:
        """Return what they are, for a table."""
        return f"{len(self.crops)} face crops of {self.photos} photos"


def all_faces(paths: Sequence[Path], crop: CropSpec) -> RealCrops:
    """Cut every face out of photos, found by the detector of the `demo` pack, which ships.

    Args:
        paths: Photos.
        crop: How to cut.

    Raises:
        InvalidInputError: No face is found.
    """
    import onnxruntime as ort

    demo = shipped_folder("packs") / "demo"
    pack = read_pack(demo)
    detector = ort.InferenceSession(str(demo / pack.models[DETECT].file), providers=["CPUExecutionProvider"])
    parts = []
    with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
        path = export_align(Path(folder) / "model.onnx", pack.max_faces, crop, None)
        aligner = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [tensor.name for tensor in detected(pack.max_faces)]
        for photo in decoded(paths):
            if photo is None:
                continue
            found = detector.run(names, {DETECTOR_INPUT.name: photo.pop(DETECTOR_INPUT.name)})
            crops, scores = aligner.run(
                ["portrait_crop", FACE_SCORE.name], {**photo, **dict(zip(names, found, strict=True))}
            )
            if scores[0, 0] > 0:
                parts.append(crops)
    if not parts:
        raise InvalidInputError(f"no face is found on {len(paths)} photos; give others with --photos")
    return RealCrops(crops=np.concatenate(parts), photos=len(parts))
