"""From the candidates of all views to the faces of each photo: thresholds, non-maximum suppression, K rows.

Both detector families end in the nodes written here, so they share one contract: `detect_spec`.
A candidate is a row of 15 numbers: box x0, y0, x1, y1, five landmarks x, y, score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.steps import DETECTOR_INPUT, FACE_BATCH_LIMIT, FACES_TRUNCATED, detect_spec
from fsengine.contracts.tensors import DType
from fsexport.detect.views import View
from fsexport.graphs.contract_io import spec_values
from fsexport.graphs.graph_builder import GraphBuilder

if TYPE_CHECKING:
    import onnx

WriteView: TypeAlias = "Callable[[GraphBuilder, str, View, onnx.ModelProto, str], str]"
"""From the graph, the square, a view, the network and a prefix for its copy to candidates, float32 (N, C, 15)."""

MOST_FACES = FACE_BATCH_LIMIT
CANDIDATE_COLUMNS = 15
_SCORE_COLUMN = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeSettings:
    """How overlapping candidates become one face.

    Attributes:
        max_faces: The most faces of a photo, K.
        iou_threshold: Of two boxes that overlap by more than this, the better one stays.
        containment_threshold: A box with more than this share of its area inside a better one is dropped. Needed
            where views of different scales report a face and a part of it, whose overlap as IoU is small.
    """

    max_faces: int = MOST_FACES
    iou_threshold: float
    containment_threshold: float = 0.6

    def __post_init__(self) -> None:
        if not 1 <= self.max_faces <= FACE_BATCH_LIMIT:
            raise ValueError(f"max_faces is {self.max_faces}, expected 1 to {FACE_BATCH_LIMIT}")
        for name in ("iou_threshold", "containment_threshold"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0 and up to 1")


def write_square(builder: GraphBuilder) -> str:
    """Write the graph's input as float32 (N, 3, 640, 640), 0 to 255, and return its name."""
    pixels = builder.add("Cast", DETECTOR_INPUT.name, to=DType.FP32.onnx)
    return str(builder.add("Transpose", pixels, perm=[0, 3, 1, 2]))


def write_candidates(
    builder: GraphBuilder, view: View, boxes: str, landmarks: str, scores: str, per_window: int
) -> str:
    """Bring what a network found in the windows of a view to the coordinates of the detector's square.

    Args:
        builder: The graph.
        view: The view, of T windows.
        boxes: float32 (N * T, A, 4), x0, y0, x1, y1 in pixels of the window.
        landmarks: float32 (N * T, A, 10), five times x, y in pixels of the window.
        scores: float32 (N * T, A, 1), 0 to 1.
        per_window: A, the candidates of one window.

    Returns:
        Name of float32 (N, T * A, 15); the score is 0 where the view's threshold or size limit excludes a candidate.
    """
    counted = builder.add("Greater", scores, builder.number(view.score_threshold))
    if view.max_face_px is not None:
        left = builder.add("Slice", boxes, builder.ints(0), builder.ints(1), builder.ints(2))
        right = builder.add("Slice", boxes, builder.ints(2), builder.ints(3), builder.ints(2))
        limit = builder.number(view.max_face_px / view.px_per_frame_px)
        counted = builder.add("And", counted, builder.add("Less", builder.add("Sub", right, left), limit))
    score = builder.add("Where", counted, scores, builder.number(0.0))
    rows = builder.add("Concat", boxes, landmarks, score, axis=2)
    by_photo = builder.add("Reshape", rows, builder.ints(-1, len(view.origins), per_window, CANDIDATE_COLUMNS))
    shift = np.zeros((len(view.origins), 1, CANDIDATE_COLUMNS), np.float32)
    shift[:, 0, :_SCORE_COLUMN] = np.tile(view.origins, _SCORE_COLUMN // 2)
    scale = np.full(CANDIDATE_COLUMNS, view.px_per_frame_px, np.float32)
    scale[_SCORE_COLUMN] = 1.0
    in_frame = builder.add("Add", by_photo, builder.constant(shift, "shift"))
    in_square = builder.add("Mul", in_frame, builder.constant(scale, "scale"))
    return str(builder.add("Reshape", in_square, builder.ints(-1, len(view.origins) * per_window, CANDIDATE_COLUMNS)))


def write_faces(builder: GraphBuilder, candidates: str, settings: MergeSettings) -> dict[str, str]:
    """Write non-maximum suppression and the packing of its survivors into K rows.

    Args:
        builder: The graph.
        candidates: float32 (N, C, 15), C > K.
        settings: How to merge them.

    Returns:
        The names of the values by the names of the outputs in `detect_spec`. `faces_truncated` says that more than K
        boxes were left by the suppression; a box inside a better one counts there too, so it may warn without need.
    """
    k = settings.max_faces
    scores = builder.add("Squeeze", _columns(builder, candidates, _SCORE_COLUMN, 15), builder.ints(2))  # (N, C)
    selected = builder.add(
        "NonMaxSuppression",
        _columns(builder, candidates, 0, 4),
        builder.add("Unsqueeze", scores, builder.ints(1)),  # (N, 1, C)
        builder.ints(k + 1),
        builder.number(settings.iou_threshold),
        builder.number(0.0),
    )  # (S, 3): photo, class 0, candidate
    kept = _kept_scores(builder, scores, selected)
    best, order = builder.add("TopK", kept, builder.ints(k + 1), axis=1, outputs=2)  # (N, k + 1)
    found = builder.add("Greater", builder.add("Unsqueeze", best, builder.ints(2)), builder.number(0.0))
    rows = _rows(builder, candidates, builder.add("Unsqueeze", order, builder.ints(2)))
    rows = builder.add("Where", found, rows, builder.number(0.0))  # (N, k + 1, 15)
    last = builder.add("Slice", best, builder.ints(k), builder.ints(k + 1), builder.ints(1))
    truncated = builder.add("Greater", last, builder.number(0.0))
    outside = _outside_better(builder, rows, settings.containment_threshold)
    rows = _sorted(builder, builder.add("Mul", rows, outside), k)
    points = _columns(builder, rows, 4, _SCORE_COLUMN)
    return {
        "detected_box": _columns(builder, rows, 0, 4),
        "detected_landmarks": builder.add("Reshape", points, builder.ints(-1, k, 5, 2)),
        "detected_score": builder.add("Reshape", _columns(builder, rows, _SCORE_COLUMN, 15), builder.ints(-1, k)),
        FACES_TRUNCATED.name: truncated,
    }


def model_of_views(
    prefix: str, network: onnx.ModelProto, views: Sequence[View], settings: MergeSettings, write_view: WriteView
) -> onnx.ModelProto:
    """Return the detect graph of a detector whose views run the same network.

    Args:
        prefix: Of the names in the graph.
        network: The network, whose weights all views share.
        views: What the network sees of a photo.
        settings: How candidates become faces.
        write_view: Writes one view, the network on its windows and the decoding.
    """
    builder = GraphBuilder(prefix=prefix)
    square = write_square(builder)
    parts = [write_view(builder, square, view, network, f"view{index}_") for index, view in enumerate(views)]
    candidates = parts[0] if len(parts) == 1 else builder.add("Concat", *parts, axis=1)
    return detect_model(builder, write_faces(builder, candidates, settings), settings.max_faces)


def map_cells(side_px: int, stride: int) -> NDArray[np.float32]:
    """Return float32 (A, 2): column, row of each cell of a network's map of a window, columns fastest."""
    cells = side_px // stride
    row, column = np.mgrid[:cells, :cells]
    return np.asarray(np.stack([column, row], axis=-1).reshape(-1, 2), np.float32)


def check_windows(views: Sequence[View], multiple: int) -> None:
    """Check that a network takes the windows of its views.

    Raises:
        ValueError: The side of one is no multiple of `multiple`.
    """
    for view in views:
        if view.window_px % multiple:
            raise ValueError(f"a view has windows of {view.window_px} px, expected a multiple of {multiple}")


def detect_model(builder: GraphBuilder, faces: dict[str, str], max_faces: int) -> onnx.ModelProto:
    """Return the finished model, its tensors those of `detect_spec` with a batch axis.

    Args:
        builder: The graph.
        faces: What `write_faces` returned.
        max_faces: K.
    """
    spec = detect_spec(max_faces)
    for tensor in spec.outputs:
        builder.rename(faces[tensor.name], tensor.name)
    return builder.model(spec.name, spec_values(spec.inputs, batched=True), spec_values(spec.outputs, batched=True))


def _columns(builder: GraphBuilder, rows: str, start: int, end: int) -> str:
    """Return columns `start` to `end` of (N, C, 15)."""
    return str(builder.add("Slice", rows, builder.ints(start), builder.ints(end), builder.ints(2)))


def _kept_scores(builder: GraphBuilder, scores: str, selected: str) -> str:
    """Return the scores (N, C) with 0 for every candidate that was not selected.

    The selection has as many rows as it has, and ends here: everything after it has a fixed size.
    """
    pairs = builder.add("Gather", selected, builder.ints(0, 2), axis=1)  # (S, 2): photo, candidate
    found = builder.add("GatherND", scores, pairs)  # (S,)
    return str(builder.add("ScatterND", builder.add("Mul", scores, builder.number(0.0)), pairs, found))


def _sorted(builder: GraphBuilder, rows: str, count: int) -> str:
    """Return the `count` rows of the highest scores of each photo, best first: (N, count, 15) of (N, R, 15)."""
    score = _columns(builder, rows, _SCORE_COLUMN, 15)
    _, order = builder.add("TopK", score, builder.ints(count), axis=1, outputs=2)  # (N, count, 1)
    return _rows(builder, rows, order)


def _rows(builder: GraphBuilder, rows: str, order: str) -> str:
    """Return rows of each photo, (N, M, 15) of (N, R, 15), by their positions, int64 (N, M, 1)."""
    everywhere = builder.add("Expand", order, builder.ints(1, 1, CANDIDATE_COLUMNS))
    return str(builder.add("GatherElements", rows, everywhere, axis=1))


def _outside_better(builder: GraphBuilder, rows: str, threshold: float) -> str:
    """Return float32 (N, R, 1): 0 where a row's box lies inside a better one by more than the threshold, else 1.

    Args:
        builder: The graph.
        rows: (N, R, 15), best first.
        threshold: Share of the box's own area.
    """
    low, high = _columns(builder, rows, 0, 2), _columns(builder, rows, 2, 4)
    pairs = []
    for corner, pick in ((low, "Max"), (high, "Min")):
        one = builder.add("Unsqueeze", corner, builder.ints(2))  # (N, R, 1, 2)
        other = builder.add("Unsqueeze", corner, builder.ints(1))  # (N, 1, R, 2)
        pairs.append(builder.add(pick, one, other))
    shared_sides = builder.add("Relu", builder.add("Sub", pairs[1], pairs[0]))
    shared = _area(builder, shared_sides)  # (N, R, R)
    own = builder.add("Unsqueeze", _area(builder, builder.add("Sub", high, low)), builder.ints(2))
    inside = builder.add("Greater", shared, builder.add("Mul", own, builder.number(threshold)))
    inside_f = builder.add("Cast", inside, to=DType.FP32.onnx)
    # below the diagonal: row r against the better rows 0 to r - 1
    below = builder.add("Trilu", inside_f, builder.constant(np.array(-1, np.int64)), upper=0)
    dropped = builder.add("ReduceMax", below, builder.ints(2), keepdims=1)
    return str(builder.add("Sub", builder.number(1.0), dropped))


def _area(builder: GraphBuilder, sides: str) -> str:
    """Return width times height of (..., 2)."""
    return str(builder.add("ReduceProd", sides, builder.ints(-1), keepdims=0))
