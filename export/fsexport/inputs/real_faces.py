"""Real faces as inputs of exports: photos through the steps that serve, decode, detect and align."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import CropSpec
from fsengine.contracts.steps import DETECT, DETECTOR_INPUT, DETECTOR_SCALE, FACE_SCORE, IMAGE, IMAGE_SIZE, detected
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import SHIPPED_PACK, shipped_folder
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


def all_faces(paths: Sequence[Path], crop: CropSpec, detector: Path | None = None) -> RealCrops:
    """Cut every face out of photos.

    Args:
        paths: Photos.
        crop: How to cut.
        detector: A detect graph; None for that of the pack that ships.

    Raises:
        InvalidInputError: No face is found.
    """
    parts = [crops for crops in faces_by_photo(paths, crop, detector) if len(crops)]
    if not parts:
        raise InvalidInputError(f"no face is found on {len(paths)} photos; give others with --photos")
    return RealCrops(crops=np.concatenate(parts), photos=len(parts))


def faces_by_photo(paths: Sequence[Path], crop: CropSpec, detector: Path | None = None) -> Iterator[NDArray[np.uint8]]:
    """Yield the crops of each photo's faces, uint8 (F, S, S, 3), RGB; none of a photo that does not decode.

    Args:
        paths: Photos.
        crop: How to cut.
        detector: See `all_faces`.
    """
    import onnxruntime as ort

    session = ort.InferenceSession(str(detector or _shipped_detector()), providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in detected(1)]
    read = (IMAGE.name, IMAGE_SIZE.name, DETECTOR_SCALE.name)
    most_faces = next(output.shape[1] for output in session.get_outputs() if output.name == names[0])
    with tempfile.TemporaryDirectory(prefix="facestats-") as folder:
        path = export_align(Path(folder) / "model.onnx", most_faces, crop, None)
        aligner = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for photo in decoded(paths):
            if photo is None:
                yield np.zeros((0, crop.side_px, crop.side_px, 3), np.uint8)
                continue
            found = session.run(names, {DETECTOR_INPUT.name: photo[DETECTOR_INPUT.name]})
            feed = {name: photo[name] for name in read} | dict(zip(names, found, strict=True))
            crops, scores = aligner.run(["portrait_crop", FACE_SCORE.name], feed)
            yield crops[scores[:, 0] > 0]


def _shipped_detector() -> Path:
    folder = shipped_folder("packs") / SHIPPED_PACK
    return folder / read_pack(folder).models[DETECT].file
