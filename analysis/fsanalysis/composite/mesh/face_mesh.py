"""The mesh network, run on crops with five landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import MissingDependencyError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NUM_POINTS = 468
NOSE_TIP, LEFT_EDGE, RIGHT_EDGE = 1, 234, 454
"""Points of the mesh: the tip of the nose, and where the face ends at both sides, left as one sees it."""
LEFT_EYE, RIGHT_EYE = 33, 263
"""Points of the mesh: the outer corners of the eyes, left as one sees it."""

_INPUT_PX = 192
_SIDE = 3.9
"""Side of the network's input, in distances between eyes and mouth: about 1.5 faces, as mediapipe cuts it."""
_PRESENT = 0.0
"""Logit from which the network sees a face."""


@dataclass(frozen=True, slots=True)
class MeshedFace:
    """What the network says of a face.

    Attributes:
        points: float64 (468, 2), in pixels of the crop.
        present: Whether it sees a face at all.
    """

    points: NDArray[np.float64]
    present: bool

    @property
    def turned(self) -> float:
        """Return the sine of the angle by which the face is turned to a side, about; 0 for one seen from the front."""
        tip, left, right = self.points[[NOSE_TIP, LEFT_EDGE, RIGHT_EDGE]]
        to_left, to_right = float(np.linalg.norm(tip - left)), float(np.linalg.norm(tip - right))
        return (to_left - to_right) / max(to_left + to_right, 1e-6)


class FaceMesh:
    """Finds the points of faces, several at once."""

    def __init__(self) -> None:
        """Load the network.

        Raises:
            MissingDependencyError: ONNX Runtime is not installed.
        """
        try:
            import onnxruntime as ort
        except ImportError as exc:
            raise MissingDependencyError("onnxruntime is missing: pip install 'facestats[analysis]'") from exc
        with as_file(files("fsanalysis.composite.mesh") / "face_mesh.onnx") as path:
            self._session: InferenceSession = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def find(self, images: Sequence[NDArray[np.uint8]], landmarks: Sequence[NDArray[np.float64]]) -> list[MeshedFace]:
        """Find the points of faces.

        Args:
            images: Crops, uint8 (H, W, 3), RGB.
            landmarks: float64 (5, 2) of each, in its pixels: eyes, nose, corners of the mouth, left first.
        """
        import cv2

        if not images:
            return []
        moves = [_into_network(points) for points in landmarks]
        pixels = np.stack(
            [
                cv2.warpAffine(image, move, (_INPUT_PX, _INPUT_PX), flags=cv2.INTER_LINEAR).astype(np.float32) / 255
                for image, move in zip(images, moves, strict=True)
            ]
        )
        meshes, presences = self._session.run(None, {self._input: pixels})
        found = []
        for mesh, presence, move in zip(meshes, presences, moves, strict=True):
            points = np.asarray(mesh, np.float64).reshape(NUM_POINTS, 3)[:, :2]
            back = cv2.invertAffineTransform(move)
            found.append(MeshedFace(points @ back[:, :2].T + back[:, 2], bool(np.ravel(presence)[0] > _PRESENT)))
        return found


def _into_network(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the similarity (2, 3) that takes a crop to the network's input: upright, the face in the middle."""
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    across = landmarks[1] - landmarks[0]
    distance = max(float(np.linalg.norm(mouth - eyes)), float(np.linalg.norm(across)), 1e-3)
    scale = _INPUT_PX / (_SIDE * distance)
    angle = np.arctan2(across[1], across[0])
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = (eyes + mouth) / 2
    move: NDArray[np.float64] = np.hstack([turn, (_INPUT_PX / 2 - turn @ centre)[:, None]])
    return move
