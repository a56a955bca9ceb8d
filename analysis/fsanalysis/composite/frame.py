"""The common frame of a composite: where each face is moved to, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsanalysis.composite.light import luminance, photo_mask, to_linear
from fsanalysis.composite.mesh.face_mesh import LEFT_EYE, RIGHT_EYE
from fsanalysis.composite.similarity import Points, mean_shape, moved, similarity
from fsanalysis.composite.thin_plate import ThinPlate, grid_of_similarity, is_folded, pixel_maps

SMOOTHING = (1e-2, 1e-1)
"""Of the splines, tried in this order before a face is only turned, scaled and shifted."""

FACE_SHARE = 0.66
"""Height of the mean mesh, forehead to chin, as a share of the frame."""

_RING_POINTS = 32
_RING_RADIUS = 1.45
"""Of the ring around the face that moves with it as a whole, in radii of the mesh."""
_OVAL_RADIUS = 1.06
_OVAL_FEATHER = 0.04
"""Of the frame's side."""


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """A face in the common frame.

    Attributes:
        light: float32 (S, S, 3), linear light.
        weight: float32 (S, S), 1 where it is photo, 0 where it is none.
        method: How it was moved: `spline`, `stiff spline` or `similarity`.
    """

    light: NDArray[np.float32]
    weight: NDArray[np.float32]
    method: str


class Frame:
    """A square with the mean shape of faces in its middle."""

    def __init__(self, shapes: Sequence[Points], side: int) -> None:
        """Compute the shape and the splines.

        Args:
            shapes: Mesh points of a sample of the faces, (468, 2) each, one or more.
            side: Of the frame, in pixels.
        """
        self.side = side
        self.shape = mean_shape(shapes, side, FACE_SHARE, (LEFT_EYE, RIGHT_EYE))
        self._ring = _ring(self.shape)
        target = np.vstack([self.shape, self._ring])
        self._plates = [ThinPlate(target, side, smoothing) for smoothing in SMOOTHING]
        self.oval = _oval(self.shape, side)

    def align(self, image: NDArray[np.uint8], points: Points) -> AlignedFace:
        """Move a face into the frame.

        Args:
            image: Its crop, uint8 (H, W, 3), sRGB.
            points: Its mesh, (468, 2), in pixels of the crop.
        """
        import cv2

        whole = similarity(self.shape, points)
        source = np.vstack([points, moved(self._ring, whole)])
        grid, method = grid_of_similarity(whole, self.side), "similarity"
        for plate, name in zip(self._plates, ("spline", "stiff spline"), strict=True):
            candidate = plate.grid_of(source)
            if not is_folded(candidate):
                grid, method = candidate, name
                break
        x, y = pixel_maps(grid, self.side)
        light = cv2.remap(to_linear(image), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        weight = cv2.remap(photo_mask(image), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        return AlignedFace(np.asarray(light, np.float32), np.asarray(weight, np.float32), method)

    def luminance(self, face: AlignedFace) -> float:
        """Return the mean luminance of the face itself."""
        return luminance(face.light, (self.oval > 0.5) & (face.weight > 0.5))


def _ring(shape: Points) -> Points:
    centre = (shape.min(axis=0) + shape.max(axis=0)) / 2
    radii = _RING_RADIUS * (shape.max(axis=0) - shape.min(axis=0)) / 2
    angles = np.linspace(0, 2 * np.pi, _RING_POINTS, endpoint=False)
    ring: Points = centre + radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return ring


def _oval(shape: Points, side: int) -> NDArray[np.float32]:
    """Return 1 on the face, 0 around it and what is between at its edge, float32 (S, S)."""
    import cv2

    hull = cv2.convexHull(shape.astype(np.float32))[:, 0]
    centre = hull.mean(axis=0)
    wider = np.round(centre + _OVAL_RADIUS * (hull - centre)).astype(np.int32)
    inside = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(inside, wider, 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    return np.asarray(np.clip(depth / (_OVAL_FEATHER * side), 0, 1), np.float32)
