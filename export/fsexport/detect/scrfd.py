"""SCRFD with five keypoints as the detect step: the detector of InsightFace's packs.

The files of the packs take one photo at a time. Their heads end in `Transpose(2, 3, 0, 1)` and `Reshape(-1, c)`, so
that for a batch of M the rows are ordered (cell, photo, anchor) and a naive dynamic batch gives wrong boxes
(deepinsight/insightface issues 2878 and 2879); `_by_photo` puts them right. Decoding follows
insightface/model_zoo/scrfd.py (Guo et al. 2021, "Sample and Computation Redistribution for Efficient Face Detection").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import ExportError
from fsexport.artifact.onnx_file import save_onnx
from fsexport.detect.merge import MergeSettings, check_windows, model_of_views, write_candidates
from fsexport.detect.views import View, write_windows
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.graphs.graph_splice import network_inputs, read_network, splice
from fsexport.graphs.half_network import half_network

if TYPE_CHECKING:
    import onnx

STRIDES = (8, 16, 32)
ANCHORS_PER_CELL = 2
_COLUMNS = (1, 4, 10)
"""Columns of a head's outputs: score, distances to the box's sides, offsets of the keypoints."""
PIXEL_MEAN = 127.5
PIXEL_SCALE = 128.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrfdSettings:
    """What the SCRFD graph looks at and keeps.

    Attributes:
        views: InsightFace 2.1 takes two sizes, 640 and 128, and merges them; a third, larger one finds the small
            faces of crowds.
        merge: How candidates become faces; IoU 0.4 is InsightFace's `nms_thresh`.
    """

    views: tuple[View, ...] = field(
        default_factory=lambda: (
            View(frame_px=640, window_px=640, score_threshold=0.5),
            View(frame_px=128, window_px=128, score_threshold=0.5),
        )
    )
    merge: MergeSettings = field(default_factory=lambda: MergeSettings(iou_threshold=0.4))

    def __post_init__(self) -> None:
        check_windows(self.views, STRIDES[-1])


def scrfd_anchors(side_px: int, stride: int) -> NDArray[np.float32]:
    """Return float32 (A, 2): x, y of the anchors' centres in pixels of the network's input, x fastest."""
    cells = side_px // stride
    y, x = np.mgrid[:cells, :cells]
    centres = np.stack([x, y], axis=-1).reshape(-1, 2) * stride
    return np.repeat(centres, ANCHORS_PER_CELL, axis=0).astype(np.float32)


def export_scrfd(source: Path, out_path: Path, settings: ScrfdSettings | None = None, *, half: bool = False) -> Path:
    """Build the detect step from an SCRFD file.

    Args:
        source: An SCRFD ONNX file with keypoints and free height and width: `det_500m.onnx`, `det_10g.onnx`,
            `scrfd_2.5g_bnkps.onnx`.
        out_path: The ONNX file to write.
        settings: Views and thresholds; default two sizes as InsightFace 2.1 takes them.
        half: The network in fp16; decoding and suppression stay in fp32.

    Returns:
        `out_path`.
    """
    network = read_network(source)
    network = half_network(network) if half else network
    return save_onnx(scrfd_model(network, settings or ScrfdSettings()), out_path)


def scrfd_model(network: onnx.ModelProto, settings: ScrfdSettings) -> onnx.ModelProto:
    """Return the detect graph from an SCRFD model; every view runs the same weights."""
    _check_network(network)
    return model_of_views("scrfd_", network, settings.views, settings.merge, _write_view)


def _check_network(network: onnx.ModelProto) -> None:
    """Raise ExportError if a model is not SCRFD with keypoints and free height and width."""
    inputs, expected_outputs = network_inputs(network), len(STRIDES) * len(_COLUMNS)
    if len(inputs) != 1 or len(network.graph.output) != expected_outputs:
        raise ExportError(
            f"the model has {len(inputs)} inputs and {len(network.graph.output)} outputs; expected 1 and "
            f"{expected_outputs}: an SCRFD model with keypoints"
        )
    columns = tuple(output.type.tensor_type.shape.dim[-1].dim_value for output in network.graph.output)
    expected_columns = tuple(column for column in _COLUMNS for _ in STRIDES)
    if columns != expected_columns:
        raise ExportError(
            f"the model's outputs have {columns} columns, expected {expected_columns}: scores, boxes and keypoints of "
            "strides 8, 16 and 32, in this order"
        )
    height = inputs[0].type.tensor_type.shape.dim[2]
    if height.dim_value:
        raise ExportError(
            f"the model's input is fixed to {height.dim_value} px; expected free height and width, because it has to "
            "see several sizes: use the file of the InsightFace pack"
        )


def _by_photo(builder: GraphBuilder, head: str, cells: int, columns: int) -> str:
    """Reorder a head's rows from (cell, photo, anchor) to photos of their own: (M, cells * 2, columns)."""
    split = builder.add("Reshape", head, builder.ints(cells, -1, ANCHORS_PER_CELL, columns))
    by_photo = builder.add("Transpose", split, perm=[1, 0, 2, 3])
    return str(builder.add("Reshape", by_photo, builder.ints(-1, cells * ANCHORS_PER_CELL, columns)))


def _write_view(builder: GraphBuilder, square: str, view: View, network: onnx.ModelProto, prefix: str) -> str:
    """Write one view, the network on its windows and the decoding; returns float32 (N, T * A, 15)."""
    windows = write_windows(builder, square, view)
    scaled = builder.add(
        "Mul", builder.add("Sub", windows, builder.number(PIXEL_MEAN)), builder.number(1.0 / PIXEL_SCALE)
    )
    feeds = {network_inputs(network)[0].name: scaled}
    outputs = splice(builder, network, prefix, feeds, [output.name for output in network.graph.output])
    levels = len(STRIDES)
    score_parts, box_parts, point_parts, count = [], [], [], 0
    for level, stride in enumerate(STRIDES):
        cells = (view.window_px // stride) ** 2
        score, distance, offset = (
            _by_photo(builder, outputs[kind * levels + level], cells, columns) for kind, columns in enumerate(_COLUMNS)
        )
        centres = scrfd_anchors(view.window_px, stride)
        # distances to the left, top, right and bottom side
        signed = builder.add(
            "Mul", distance, builder.constant(np.array([-stride, -stride, stride, stride], np.float32))
        )
        box_parts.append(builder.add("Add", signed, builder.constant(np.tile(centres, 2)[None], "anchors")))
        moved = builder.add("Mul", offset, builder.number(stride))
        point_parts.append(builder.add("Add", moved, builder.constant(np.tile(centres, 5)[None], "anchors")))
        score_parts.append(score)
        count += len(centres)
    boxes, points, scores = (builder.add("Concat", *part, axis=1) for part in (box_parts, point_parts, score_parts))
    return write_candidates(builder, view, boxes, points, scores, count)
