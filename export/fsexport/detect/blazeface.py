"""BlazeFace, both ranges of it, as the detect step: small and fast, under a permissive licence.

Two networks of mediapipe (Apache-2.0; Bazarevsky et al. 2019, "BlazeFace"): the full range finds small and
middling faces, the short range faces that fill the picture. Decoding follows mediapipe's
`tensors_to_detections_calculator` with the options of `face_detection_{short,full}_range.pbtxt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsexport.artifact.onnx_file import save_onnx
from fsexport.detect.merge import MergeSettings, detect_model, write_candidates, write_faces, write_square
from fsexport.detect.views import View, write_windows
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.sources.mediapipe_wheel import FACE_DETECTION_FULL_RANGE, FACE_DETECTION_SHORT_RANGE, read_wheel_model
from fsexport.sources.tflite_graph import TfliteNetwork

if TYPE_CHECKING:
    import onnx

SHORT_RANGE_PX = 128
FULL_RANGE_PX = 192
SHORT_RANGE_LAYERS = ((16, 2), (8, 6))
"""(cells per side, anchors per cell) of each layer: `ssd_anchors_calculator` with strides 8, 16, 16, 16."""
FULL_RANGE_LAYERS = ((48, 1),)

LOGIT_LIMIT = 100.0
"""Logits are clipped to this before the sigmoid: `score_clipping_thresh`."""

MOUTH_TO_EYES = 0.414
"""Half the distance of the mouth corners over the distance of the eyes, in the ArcFace template: 14.59 / 35.24."""

_RIGHT_EYE, _LEFT_EYE, _NOSE, _MOUTH = range(4)
"""The first of BlazeFace's six points, named from the person's side: the right eye is on the image's left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlazeFaceSettings:
    """What the BlazeFace graph looks at and keeps.

    The thresholds were chosen on the photos of `benchmarks/detect_recall`, so its figures flatter them a little.
    Without the tiles the graph takes a fifteenth of the time and finds none of the 29 faces of the Solvay photo.

    Attributes:
        short_range: The view of the short-range network: the photo shrunk into the middle half of a window, because a
            face that fills the frame is too large for both networks.
        full_range: The views of the full-range network: the whole photo, then 5 x 5 overlapping tiles of it enlarged
            by 1.2, a higher threshold for the many chances of a mistake that they add.
        merge: How candidates become faces; IoU 0.3 is mediapipe's `min_suppression_threshold`.
    """

    short_range: View = field(default_factory=lambda: View(frame_px=64, window_px=SHORT_RANGE_PX, score_threshold=0.55))
    full_range: tuple[View, ...] = field(
        default_factory=lambda: (
            View(frame_px=FULL_RANGE_PX, window_px=FULL_RANGE_PX, score_threshold=0.6),
            View(frame_px=768, window_px=FULL_RANGE_PX, windows_per_side=5, score_threshold=0.72, max_face_px=64.0),
        )
    )
    merge: MergeSettings = field(default_factory=lambda: MergeSettings(iou_threshold=0.3))

    def __post_init__(self) -> None:
        expected = [(self.short_range, SHORT_RANGE_PX), *((view, FULL_RANGE_PX) for view in self.full_range)]
        for view, window_px in expected:
            if view.window_px != window_px:
                raise ValueError(f"a view has windows of {view.window_px} px, this network takes {window_px} px")


def blazeface_anchors(side_px: int, layers: tuple[tuple[int, int], ...]) -> NDArray[np.float32]:
    """Return float32 (A, 2): x, y of the anchors' centres in pixels of the network's input, x fastest."""
    parts = []
    for cells, repeats in layers:
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * (side_px / cells)
        parts.append(np.repeat(centres, repeats, axis=0))
    return np.asarray(np.concatenate(parts), np.float32)


def landmark_matrix() -> NDArray[np.float32]:
    """Return float32 (12, 10): BlazeFace's six points as a row (x, y, ...) times this gives five landmarks.

    The eyes and the nose are taken over. Mouth corners are not among the six points: they are put beside the
    mouth's centre, along the line through the eyes, at the distance that the ArcFace template has.
    """
    weights = np.zeros((6, 5), np.float32)
    weights[_RIGHT_EYE, 0] = weights[_LEFT_EYE, 1] = weights[_NOSE, 2] = 1.0
    for landmark, sign in ((3, -1.0), (4, 1.0)):
        weights[_MOUTH, landmark] = 1.0
        weights[_LEFT_EYE, landmark] = sign * MOUTH_TO_EYES
        weights[_RIGHT_EYE, landmark] = -sign * MOUTH_TO_EYES
    return np.asarray(np.kron(weights, np.eye(2)), np.float32)


def export_blazeface(sources: Sequence[Path], out_path: Path, settings: BlazeFaceSettings | None = None) -> Path:
    """Build the detect step from BlazeFace.

    Args:
        sources: The wheel of mediapipe 0.10.14, or its two `.tflite` files.
        out_path: The ONNX file.
        settings: Views and thresholds; default see the class.

    Returns:
        `out_path`.
    """
    short_range = read_wheel_model(sources, FACE_DETECTION_SHORT_RANGE)
    full_range = read_wheel_model(sources, FACE_DETECTION_FULL_RANGE)
    return save_onnx(blazeface_model(short_range, full_range, settings or BlazeFaceSettings()), out_path)


def blazeface_model(short_range: bytes, full_range: bytes, settings: BlazeFaceSettings) -> onnx.ModelProto:
    """Return the detect graph from the two TFLite files.

    Each network is written once and runs on the windows of all of its views as one batch per view.
    """
    builder = GraphBuilder(prefix="blazeface_")
    square = write_square(builder)
    short, full = TfliteNetwork(short_range), TfliteNetwork(full_range)
    short_anchors = blazeface_anchors(SHORT_RANGE_PX, SHORT_RANGE_LAYERS)
    full_anchors = blazeface_anchors(FULL_RANGE_PX, FULL_RANGE_LAYERS)
    parts = [_write_view(builder, square, settings.short_range, short, short_anchors)]
    parts += [_write_view(builder, square, view, full, full_anchors) for view in settings.full_range]
    faces = write_faces(builder, builder.add("Concat", *parts, axis=1), settings.merge)
    return detect_model(builder, faces, settings.merge.max_faces)


def _write_view(
    builder: GraphBuilder, square: str, view: View, network: TfliteNetwork, anchors: NDArray[np.float32]
) -> str:
    """Write one view, the network on its windows and the decoding; returns float32 (N, T * A, 15)."""
    windows = write_windows(builder, square, view)
    # 0..255 -> -1..1
    scaled = builder.add("Sub", builder.add("Mul", windows, builder.number(1 / 127.5)), builder.number(1.0))
    regressors, logits = network.write(builder, scaled)  # (M, A, 16), (M, A, 1)
    centre_offset, size, points = builder.add("Split", regressors, builder.ints(2, 2, 12), axis=2, outputs=3)
    centre = builder.add("Add", centre_offset, builder.constant(anchors[None], "anchors"))
    half = builder.add("Mul", size, builder.number(0.5))
    boxes = builder.add("Concat", builder.add("Sub", centre, half), builder.add("Add", centre, half), axis=2)
    points = builder.add("Add", points, builder.constant(np.tile(anchors, 6)[None], "anchors"))
    landmarks = builder.add("MatMul", points, builder.constant(landmark_matrix(), "landmarks"))
    clipped = builder.add("Clip", logits, builder.number(-LOGIT_LIMIT), builder.number(LOGIT_LIMIT))
    return write_candidates(builder, view, boxes, landmarks, builder.add("Sigmoid", clipped), len(anchors))
