"""YuNet as the detect step: tiny, under a permissive licence.

The network of the OpenCV Zoo (MIT; Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector"), written for one
photo of 640 px. Decoding follows OpenCV's `FaceDetectorYN` (modules/objdetect/src/face_detect.cpp): the score is the
root of class score times objectness, positions are in cells of the stride, sides are exponentials.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fsengine.errors import ExportError
from fsexport.artifact.onnx_file import save_onnx
from fsexport.detect.merge import MergeSettings, check_windows, map_cells, model_of_views, write_candidates
from fsexport.detect.views import View, write_windows
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.graphs.graph_splice import network_inputs, read_network, splice

if TYPE_CHECKING:
    import onnx

STRIDES = (8, 16, 32)
KINDS = ("cls", "obj", "bbox", "kps")
"""Outputs are named `cls_8` to `kps_32`: class score, objectness, box, landmarks for each stride."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YuNetSettings:
    """What the YuNet graph looks at and keeps.

    Attributes:
        views: The photo, and the photo shrunk, in which faces that fill the frame become small enough.
        merge: How candidates become faces; IoU 0.3 is `FaceDetectorYN`'s default.
    """

    views: tuple[View, ...] = field(
        default_factory=lambda: (
            View(frame_px=640, window_px=640, score_threshold=0.7),
            View(frame_px=160, window_px=160, score_threshold=0.7),
        )
    )
    merge: MergeSettings = field(default_factory=lambda: MergeSettings(iou_threshold=0.3))

    def __post_init__(self) -> None:
        check_windows(self.views, STRIDES[-1])


def export_yunet(source: Path, out_path: Path, settings: YuNetSettings | None = None) -> Path:
    """Build the detect step from a YuNet file.

    Args:
        source: `face_detection_yunet_2023mar.onnx`, or a file of the same outputs.
        out_path: The ONNX file to write.
        settings: Views and thresholds.

    Returns:
        `out_path`.

    Raises:
        ExportError: The file has another layout.
    """
    return save_onnx(yunet_model(read_network(source), settings or YuNetSettings()), out_path)


def yunet_model(network: onnx.ModelProto, settings: YuNetSettings) -> onnx.ModelProto:
    """Return the detect graph from a YuNet model; every view runs the same weights."""
    _check_network(network)
    network = _with_free_batch(network)
    return model_of_views("yunet_", network, settings.views, settings.merge, _write_view)


def _check_network(network: onnx.ModelProto) -> None:
    """Raise ExportError if a model is not YuNet."""
    found = {output.name for output in network.graph.output}
    expected = {f"{kind}_{stride}" for kind in KINDS for stride in STRIDES}
    if len(network_inputs(network)) != 1 or found != expected:
        raise ExportError(
            f"the model has outputs {sorted(found)}, expected those of YuNet (2023 and later): {sorted(expected)}"
        )


def _with_free_batch(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose heads keep the batch axis where the export wrote a batch of 1 into their reshapes."""
    import onnx
    from onnx import numpy_helper

    free = onnx.ModelProto()
    free.CopyFrom(network)
    shapes = {node.input[1] for node in free.graph.node if node.op_type == "Reshape"}
    constants = [tensor for tensor in free.graph.initializer if tensor.name in shapes]
    for node in free.graph.node:
        if node.op_type == "Constant" and node.output[0] in shapes:
            constants += [attribute.t for attribute in node.attribute if attribute.name == "value"]
    for tensor in constants:
        shape = numpy_helper.to_array(tensor)
        if shape.shape == (3,) and shape[0] == 1:
            # (N, H, W, C) -> (N, H * W, C); 0 keeps the axis
            tensor.CopyFrom(numpy_helper.from_array(np.array([0, -1, shape[2]], np.int64), tensor.name))
    return free


def _write_view(builder: GraphBuilder, square: str, view: View, network: onnx.ModelProto, prefix: str) -> str:
    """Write one view, the network on its windows and the decoding; returns float32 (N, T * A, 15)."""
    windows = write_windows(builder, square, view)
    bgr = builder.add("Gather", windows, builder.ints(2, 1, 0), axis=1)
    wanted = [f"{kind}_{stride}" for kind in KINDS for stride in STRIDES]
    outputs = dict(
        zip(wanted, splice(builder, network, prefix, {network_inputs(network)[0].name: bgr}, wanted), strict=True)
    )
    score_parts, box_parts, point_parts, count = [], [], [], 0
    for stride in STRIDES:
        cells = map_cells(view.window_px, stride)
        scale = builder.number(stride)
        shares = [
            builder.add("Clip", outputs[f"{kind}_{stride}"], builder.number(0.0), builder.number(1.0))
            for kind in KINDS[:2]
        ]
        score_parts.append(builder.add("Sqrt", builder.add("Mul", *shares)))
        box = outputs[f"bbox_{stride}"]
        centre = builder.add(
            "Mul", builder.add("Add", _columns(builder, box, 0, 2), builder.constant(cells[None], "cells")), scale
        )
        half = builder.add("Mul", builder.add("Exp", _columns(builder, box, 2, 4)), builder.number(stride / 2))
        low, high = builder.add("Sub", centre, half), builder.add("Add", centre, half)
        box_parts.append(builder.add("Concat", low, high, axis=2))
        points = builder.add("Add", outputs[f"kps_{stride}"], builder.constant(np.tile(cells, 5)[None], "cells"))
        point_parts.append(builder.add("Mul", points, scale))
        count += len(cells)
    boxes, landmarks, scores = (builder.add("Concat", *part, axis=1) for part in (box_parts, point_parts, score_parts))
    return write_candidates(builder, view, boxes, landmarks, scores, count)


def _columns(builder: GraphBuilder, value: str, start: int, end: int) -> str:
    return str(builder.add("Slice", value, builder.ints(start), builder.ints(end), builder.ints(2)))
