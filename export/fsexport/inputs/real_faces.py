"""Real inputs for fitting, parity and calibration: photos through the very steps that serve, decode, detect, align."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.photo_paths import PHOTO_SUFFIXES
from fsdata.sample_photos import sample_photos
from fsengine.backends.dali_pipeline import build_pipeline, serialize_pipeline
from fsengine.contracts.preprocessing import CropSpec
from fsengine.contracts.steps import DETECT, DETECTOR_INPUT, FACE_SCORE, decode_spec, detected
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import shipped_folder
from fsexport.align.align_graph import export_align

MOST_PHOTOS = 64
"""Photos that are looked at; more would make an export slow without saying more."""

Decoded = dict[str, NDArray[Any]]
"""The outputs of the decode step for one photo, each with a batch axis of 1."""


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


def shipped_photos() -> list[Path]:
    """Return the photos that ship with the project."""
    return [photo.path for photo in sample_photos()]


def list_photos(folder: Path) -> list[Path]:
    """Return the photos of a folder and all below it, at most `MOST_PHOTOS`.

    Raises:
        InvalidInputError: There is none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file())
    if not found:
        raise InvalidInputError(f"{folder} holds no photo; expected files such as *.jpg or *.png, for --photos")
    return found[:MOST_PHOTOS]


def decoded(paths: Iterable[Path]) -> Iterator[Decoded | None]:
    """Decode photos with the decode step's own pipeline; None for one that does not decode."""
    pipeline_file = shipped_folder("model_repository") / "decode" / "1" / "dali.py"
    serialized = serialize_pipeline(pipeline_file, 1)
    pipeline = build_pipeline(serialized, 1, 1)
    names = [tensor.name for tensor in decode_spec().outputs]
    for path in paths:
        pipeline.feed_input(decode_spec().inputs[0].name, [np.fromfile(path, np.uint8)])
        try:
            outputs = pipeline.run()
        except RuntimeError:
            pipeline = build_pipeline(serialized, 1, 1)  # one that failed answers nothing more
            yield None
            continue
        yield {name: np.array(output.as_cpu()[0])[None] for name, output in zip(names, outputs, strict=True)}


def detector_squares(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """Return the detect step's view of photos, uint8 (P, 640, 640, 3), RGB; what does not decode is left out.

    Raises:
        InvalidInputError: None decodes.
    """
    squares = [photo[DETECTOR_INPUT.name][0] for photo in decoded(paths) if photo is not None]
    if not squares:
        raise InvalidInputError(f"none of {len(paths)} photos decodes; give others with --photos")
    return np.stack(squares)


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


def largest_faces(paths: Iterable[Path], detect: Path, align: Path) -> Iterator[NDArray[np.uint8] | None]:
    """Yield the encoder's crop of the largest face of each photo, or None where none is found.

    Args:
        paths: Photos.
        detect: The detect graph.
        align: The align graph.

    Returns:
        Crops, uint8 (S, S, 3), RGB.
    """
    import onnxruntime as ort

    detector, aligner = (
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (detect, align)
    )
    for photo in decoded(paths):
        if photo is None:
            yield None
            continue
        boxes, landmarks, scores = detector.run(
            [tensor.name for tensor in detected(1)], {DETECTOR_INPUT.name: photo.pop(DETECTOR_INPUT.name)}
        )
        count = int((scores > 0).sum())
        if not count:
            yield None
            continue
        sides = boxes[0, :count, 2:] - boxes[0, :count, :2]
        largest = int(sides.prod(axis=1).argmax())
        only = np.zeros_like(scores)
        only[0, 0] = scores[0, largest]
        boxes[0, 0], landmarks[0, 0] = boxes[0, largest], landmarks[0, largest]
        feed = {**photo, "detected_box": boxes, "detected_landmarks": landmarks, "detected_score": only}
        yield aligner.run(["portrait_crop"], feed)[0][0]
