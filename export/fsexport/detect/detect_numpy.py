"""The detect step in plain NumPy: what the graphs of every detector family are compared with.

Written from the sources of the formulas and not from the graphs. One photo at a time; the networks are functions of one
window. A candidate is a row of 15 numbers: box x0, y0, x1, y1, five landmarks x, y, score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX
from fsexport.detect.blazeface import LOGIT_LIMIT, blazeface_anchors, landmark_matrix
from fsexport.detect.centerface import STRIDE as CENTERFACE_STRIDE
from fsexport.detect.merge import MergeSettings, map_cells
from fsexport.detect.scrfd import PIXEL_MEAN, PIXEL_SCALE, STRIDES, scrfd_anchors
from fsexport.detect.views import View, pooling_block

Floats = NDArray[np.float32]
WindowDetector = Callable[[Floats], Floats]
"""From a window, float32 (H, W, 3) RGB 0 to 255, to candidates, float32 (A, 15), in pixels of the window."""

_SCORE = 14


def frame_of(square: NDArray[np.uint8], frame_px: int) -> Floats:
    """Scale the detector's square: block means, then bilinear between pixel centres.

    Args:
        square: uint8 (640, 640, 3), RGB.
        frame_px: The wanted side.

    Returns:
        float32 (frame_px, frame_px, 3), 0 to 255.
    """
    import cv2

    block = pooling_block(frame_px)
    side = DETECTOR_SIDE_PX // block
    pooled: Floats = square.astype(np.float32).reshape(side, block, side, block, 3).mean(axis=(1, 3))
    if side == frame_px:
        return pooled
    return np.asarray(cv2.resize(pooled, (frame_px, frame_px), interpolation=cv2.INTER_LINEAR), np.float32)


def window_of(frame: Floats, x: int, y: int, window_px: int) -> Floats:
    """Cut a window out of a frame; what lies outside is black.

    Args:
        frame: float32 (S, S, 3).
        x: Left edge of the window in the frame; negative where it begins outside.
        y: Upper edge.
        window_px: Side of the window.
    """
    window = np.zeros((window_px, window_px, 3), np.float32)
    left, top = max(-x, 0), max(-y, 0)
    part = frame[max(y, 0) : y + window_px, max(x, 0) : x + window_px]
    window[top : top + part.shape[0], left : left + part.shape[1]] = part
    return window


def decode_blazeface(regressors: Floats, logits: Floats, side_px: int, layers: tuple[tuple[int, int], ...]) -> Floats:
    """Decode what a BlazeFace network gives for one window.

    Args:
        regressors: float32 (A, 16) in pixels: offset of the centre from the anchor, width, height, six points.
        logits: float32 (A, 1).
        side_px: Side of the network's input.
        layers: (cells per side, anchors per cell) of each layer.

    Returns:
        float32 (A, 15).
    """
    anchors = blazeface_anchors(side_px, layers)
    centre, half = anchors + regressors[:, :2], regressors[:, 2:4] / 2
    points = regressors[:, 4:] + np.tile(anchors, 6)
    score = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -LOGIT_LIMIT, LOGIT_LIMIT)))
    rows = [centre - half, centre + half, points @ landmark_matrix(), score]
    return np.asarray(np.concatenate(rows, axis=1), np.float32)


def scrfd_input(window: Floats) -> Floats:
    """Return float32 (1, 3, H, W), normalised as SCRFD wants it, from float32 (H, W, 3) RGB 0 to 255."""
    return np.ascontiguousarray((window.transpose(2, 0, 1)[None] - PIXEL_MEAN) / PIXEL_SCALE, np.float32)


def decode_scrfd(outputs: Sequence[Floats], side_px: int) -> Floats:
    """Decode the nine outputs of an SCRFD file for one window.

    Args:
        outputs: Scores (A, 1), then distances (A, 4), then keypoints (A, 10), each for strides 8, 16, 32.
        side_px: Side of the network's input.

    Returns:
        float32 (A, 15).
    """
    parts = []
    for level, stride in enumerate(STRIDES):
        score, distance, keypoints = (outputs[kind * len(STRIDES) + level] for kind in range(3))
        centres = scrfd_anchors(side_px, stride)
        low, high = centres - distance[:, :2] * stride, centres + distance[:, 2:] * stride
        parts.append(np.concatenate([low, high, np.tile(centres, 5) + keypoints * stride, score], axis=1))
    return np.asarray(np.concatenate(parts), np.float32)


def yunet_input(window: Floats) -> Floats:
    """Return float32 (1, 3, H, W), BGR 0 to 255, as YuNet wants it, from float32 (H, W, 3) RGB."""
    return np.ascontiguousarray(window[..., ::-1].transpose(2, 0, 1)[None])


def decode_yunet(outputs: Sequence[Floats], side_px: int) -> Floats:
    """Decode the twelve outputs of a YuNet file for one window.

    Args:
        outputs: Class scores (1, A, 1), objectness (1, A, 1), boxes (1, A, 4), landmarks (1, A, 10), each for strides
            8, 16, 32.
        side_px: Side of the network's input.

    Returns:
        float32 (A, 15).
    """
    parts = []
    for level, stride in enumerate(STRIDES):
        score, objectness, box, points = (outputs[kind * len(STRIDES) + level][0] for kind in range(4))
        cells = map_cells(side_px, stride)
        centre, half = (cells + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
        both = np.sqrt(np.clip(score, 0, 1) * np.clip(objectness, 0, 1))
        parts.append(
            np.concatenate([centre - half, centre + half, (np.tile(cells, 5) + points) * stride, both], axis=1)
        )
    return np.asarray(np.concatenate(parts), np.float32)


def centerface_input(window: Floats) -> Floats:
    """Return float32 (1, 3, H, W), RGB 0 to 255, as CenterFace wants it, from float32 (H, W, 3) RGB."""
    return np.ascontiguousarray(window.transpose(2, 0, 1)[None])


def decode_centerface(outputs: Sequence[Floats], near: float = 0.0) -> Floats:
    """Decode the four maps of a CenterFace file for one window.

    Args:
        outputs: Heat (1, 1, H, W), log of height and width (1, 2, H, W), offsets y, x (1, 2, H, W), landmarks y, x as
            shares of the box (1, 10, H, W); H and W a quarter of the window's sides.
        near: Also cells that a neighbour surpasses by up to this.

    Returns:
        float32 (A, 15) of the cells that no neighbour surpasses.
    """
    heat, size, offset, points = (output[0] for output in outputs)
    around = np.pad(heat[0], 1, constant_values=-np.inf)
    rows, columns = heat.shape[1:]
    highest = np.max([around[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)
    y, x = np.nonzero(heat[0] >= highest - near)
    height, width = (CENTERFACE_STRIDE * np.exp(size[axis, y, x]) for axis in (0, 1))
    top = CENTERFACE_STRIDE * (y + offset[0, y, x] + 0.5) - height / 2
    left = CENTERFACE_STRIDE * (x + offset[1, y, x] + 0.5) - width / 2
    landmarks = [
        value
        for point in range(5)
        for value in (left + points[2 * point + 1, y, x] * width, top + points[2 * point, y, x] * height)
    ]
    return np.asarray(np.stack([left, top, left + width, top + height, *landmarks, heat[0, y, x]], axis=1), np.float32)


def view_candidates(square: NDArray[np.uint8], view: View, detector: WindowDetector) -> Floats:
    """Return the candidates of all windows of a view: float32 (C, 15) in pixels of the square.

    Args:
        square: uint8 (640, 640, 3), RGB.
        view: The view; its thresholds have been applied to what is returned.
        detector: The network with its decoding.
    """
    frame = frame_of(square, view.frame_px)
    parts = []
    for x, y in view.origins.tolist():
        rows = detector(window_of(frame, x, y, view.window_px)).copy()
        rows[:, :_SCORE] += np.tile(np.array([x, y], np.float32), 7)
        rows[:, :_SCORE] *= DETECTOR_SIDE_PX / view.frame_px
        counted = rows[:, _SCORE] > view.score_threshold
        if view.max_face_px is not None:
            counted &= rows[:, 2] - rows[:, 0] < view.max_face_px
        parts.append(rows[counted])
    return np.concatenate(parts)


def merge_candidates(parts: Iterable[Floats], settings: MergeSettings) -> tuple[Floats, bool]:
    """Merge the candidates of all views into the faces of a photo.

    Args:
        parts: float32 (C, 15) of each view.
        settings: Thresholds and K.

    Returns:
        float32 (F, 15), F <= K, best first, and whether the suppression left more than K.
    """
    rows = np.concatenate(list(parts))
    rows = rows[np.argsort(-rows[:, _SCORE], kind="stable")]
    survivors = rows[greedy_nms(rows[:, :4], settings.iou_threshold)][: settings.max_faces + 1]
    kept = survivors[~inside_better(survivors[:, :4], settings.containment_threshold)]
    return kept[: settings.max_faces], len(survivors) > settings.max_faces


def greedy_nms(boxes: Floats, iou_threshold: float) -> list[int]:
    """Return the rows that non-maximum suppression keeps of float32 (C, 4) boxes, best first."""
    keep: list[int] = []
    for row in range(len(boxes)):
        if all(_intersection(boxes[row], boxes[k]) <= iou_threshold * _union(boxes[row], boxes[k]) for k in keep):
            keep.append(row)
    return keep


def inside_better(boxes: Floats, containment_threshold: float) -> NDArray[np.bool_]:
    """Return bool (C,): whether more than a share of a box lies inside one before it; boxes (C, 4), best first."""
    inside = [
        any(_intersection(box, better) > containment_threshold * _area(box) for better in boxes[:row])
        for row, box in enumerate(boxes)
    ]
    return np.array(inside, bool)


def _area(box: Floats) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _intersection(one: Floats, other: Floats) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))


def _union(one: Floats, other: Floats) -> float:
    return _area(one) + _area(other) - _intersection(one, other)
