"""What one would write without FaceStats: three loops over photos in one process, with the same networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX
from fsengine.contracts.steps import AGE_GENDER, ATTRACTIVENESS, DETECT, ETHNICITY
from fsengine.errors import FaceStatsError
from fsengine.photo.convert import read_pixels
from fsexport.embed.open_clip_loader import ClipSource, load_visual_tower

_WARM_UP_PHOTOS = 4
_CLIP_SIDE_PX = 224
_CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
"""open_clip's constants.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopResult:
    """One pass over photos.

    Attributes:
        num_photos: Photos that decoded.
        num_faces: Faces that were described; of a loop that detects none, its photos.
        wall_s: How long it took.
        core_s: Core-seconds that it took.
    """

    num_photos: int
    num_faces: int
    wall_s: float
    core_s: float


class Models:
    """The networks of a pack as a script holds them: open_clip in torch, all others in ONNX Runtime and Treelite."""

    def __init__(self, pack: Path) -> None:
        """Load them, with the libraries' own threads.

        Raises:
            MissingDependencyError: torch or open_clip is not installed.
        """
        import onnxruntime as ort
        import treelite

        def session(step: str) -> Any:
            return ort.InferenceSession(str(pack / step / "model.onnx"), providers=["CPUExecutionProvider"])

        self.clip: Any = load_visual_tower(ClipSource())
        self._detect, self._age_gender = session(DETECT), session(AGE_GENDER)
        self._attractiveness = session(ATTRACTIVENESS)
        self._forest = treelite.Model.deserialize_bytes((pack / ETHNICITY / "checkpoint.tl").read_bytes())

    def boxes(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the faces of a photo at one detection of 640 px, (F, 4), in its pixels."""
        import cv2

        scale = DETECTOR_SIDE_PX / max(photo.shape[:2])
        height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
        square = np.zeros((1, DETECTOR_SIDE_PX, DETECTOR_SIDE_PX, 3), np.uint8)
        square[0, :height, :width] = cv2.resize(photo, (width, height))
        boxes, scores = self._detect.run(["detected_box", "detected_score"], {"detector_input": square})
        found: NDArray[np.float32] = boxes[0][scores[0] > 0] / scale
        return found

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the normalized embeddings of uint8 (N, 224, 224, 3), all in one batch."""
        import torch

        pixels = torch.from_numpy(((crops / np.float32(255) - _CLIP_MEAN) / _CLIP_STD).transpose(0, 3, 1, 2).copy())
        with torch.inference_mode():
            vectors = self.clip(pixels)
            made: NDArray[np.float32] = (vectors / vectors.norm(dim=1, keepdim=True)).numpy()
        return made

    def rate(self, embeddings: NDArray[np.float32]) -> None:
        """Run the attractiveness head."""
        self._attractiveness.run(None, {"face_embedding": embeddings})

    def classify(self, embeddings: NDArray[np.float32]) -> None:
        """Run the ethnicity forest on one thread, which is what is quickest for a few rows."""
        import treelite

        treelite.gtil.predict(self._forest, embeddings, nthread=1)

    def age_and_gender(self, crops: NDArray[np.uint8]) -> None:
        """Run the age/gender network."""
        self._age_gender.run(None, {self._age_gender.get_inputs()[0].name: crops})

    @property
    def age_gender_side_px(self) -> int:
        """Return the side of the age/gender network's crop."""
        return int(self._age_gender.get_inputs()[0].shape[1])


def original(models: Models, photo: NDArray[np.uint8]) -> int:
    """Describe a photo as the first FaceStats did: no detection, the encoder once for each of two heads."""
    shorter = min(photo.shape[:2])
    top, left = (photo.shape[0] - shorter) // 2, (photo.shape[1] - shorter) // 2
    crop = _resized(photo[top : top + shorter, left : left + shorter], _CLIP_SIDE_PX)[None]
    models.rate(models.embed(crop))
    models.classify(models.embed(crop))
    return 1


def per_face(models: Models, photo: NDArray[np.uint8]) -> int:
    """Describe the faces of a photo one by one."""
    boxes = models.boxes(photo)
    for box in boxes:
        _describe(models, photo, box[None])
    return len(boxes)


def batched(models: Models, photo: NDArray[np.uint8]) -> int:
    """Describe the faces of a photo in one batch."""
    boxes = models.boxes(photo)
    if len(boxes):
        _describe(models, photo, boxes)
    return len(boxes)


LOOPS: dict[str, Callable[[Models, NDArray[np.uint8]], int]] = {
    "no detection, CLIP twice a photo": original,
    "face by face": per_face,
    "the faces of a photo in one batch": batched,
}
"""Name to what is done with each photo; returns the faces that it described."""


def _describe(models: Models, photo: NDArray[np.uint8], boxes: NDArray[np.float32]) -> None:
    """Run the encoder and every head on faces, one batch for each network."""
    cut = [_cut(photo, box) for box in boxes]
    embeddings = models.embed(np.stack([_resized(crop, _CLIP_SIDE_PX) for crop in cut]))
    models.rate(embeddings)
    models.classify(embeddings)
    models.age_and_gender(np.stack([_resized(crop, models.age_gender_side_px) for crop in cut]))


def _cut(photo: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = (int(edge) for edge in box)
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return photo[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def _resized(photo: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    import cv2

    made: NDArray[np.uint8] = cv2.resize(photo, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return made


def _pixels(path: Path) -> NDArray[np.uint8] | None:
    """Return a photo upright in RGB, or None where it does not decode."""
    import cv2

    found = cv2.imread(str(path))
    if found is not None:
        return np.ascontiguousarray(found[..., ::-1])
    try:
        return read_pixels(path.read_bytes())  # formats that OpenCV lacks
    except FaceStatsError:
        return None


def measure(name: str, pack: Path, photos: Sequence[Path]) -> LoopResult:
    """Run one of `LOOPS` over photos, after a few of them that do not count.

    Args:
        name: Of the loop.
        pack: Folder of a pack with CLIP and every head.
        photos: Files.

    Raises:
        MissingDependencyError: torch or open_clip is not installed.
    """
    models, describe = Models(pack), LOOPS[name]
    for path in photos[:_WARM_UP_PHOTOS]:
        if (photo := _pixels(path)) is not None:
            describe(models, photo)
    num_photos = num_faces = 0
    started, begun = time.perf_counter(), time.process_time()
    for path in photos:
        if (photo := _pixels(path)) is not None:
            num_photos += 1
            num_faces += describe(models, photo)
    return LoopResult(
        num_photos=num_photos,
        num_faces=num_faces,
        wall_s=time.perf_counter() - started,
        core_s=time.process_time() - begun,
    )
