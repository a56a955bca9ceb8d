from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fsexport.detect.detect_numpy import frame_of, window_of
from fsexport.detect.views import View, write_windows
from fsexport.graphs.graph_builder import GraphBuilder

onnx = pytest.importorskip("onnx", reason="onnx is missing; it writes graphs")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is missing; it runs graphs")
pytest.importorskip("cv2", reason="OpenCV is missing; it scales the reference")

VIEWS = {
    "shrunk into a black window": View(frame_px=64, window_px=128, score_threshold=0.5),
    "odd margin": View(frame_px=65, window_px=128, score_threshold=0.5),
    "shrunk by a broken factor": View(frame_px=192, window_px=192, score_threshold=0.5),
    "as it is": View(frame_px=640, window_px=640, score_threshold=0.5),
    "enlarged in tiles": View(frame_px=768, window_px=192, windows_per_side=5, score_threshold=0.5),
    "a scale that float32 rounds down": View(frame_px=704, window_px=192, windows_per_side=4, score_threshold=0.5),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_graph_cuts_the_windows_that_the_reference_cuts(name: str) -> None:
    view = VIEWS[name]
    squares = np.random.default_rng(1).integers(0, 256, (2, 640, 640, 3), np.uint8)
    builder = GraphBuilder()
    builder.rename(write_windows(builder, "square", view), "windows")
    given = onnx.helper.make_tensor_value_info("square", onnx.TensorProto.FLOAT, ["N", 3, 640, 640])
    output = onnx.helper.make_tensor_value_info(
        "windows", onnx.TensorProto.FLOAT, ["M", 3, view.window_px, view.window_px]
    )
    session = ort.InferenceSession(builder.model("windows", [given], [output]).SerializeToString())

    (found,) = session.run(None, {"square": squares.transpose(0, 3, 1, 2).astype(np.float32)})

    expected = [
        window_of(frame_of(square, view.frame_px), x, y, view.window_px)
        for square in squares
        for x, y in view.origins.tolist()
    ]
    # OpenCV keeps bilinear weights in 11 bits in some of its paths: 1/2048 of 255
    np.testing.assert_allclose(found, np.stack(expected).transpose(0, 3, 1, 2), atol=0.2)


def test_tiles_reach_from_edge_to_edge_without_gaps() -> None:
    view = VIEWS["enlarged in tiles"]
    starts = sorted({x for x, _ in view.origins.tolist()})
    assert starts[0] == 0
    assert starts[-1] + view.window_px == view.frame_px
    assert all(after - before <= view.window_px for before, after in pairwise(starts))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frame_px": 16}, "frame_px is 16"),
        ({"score_threshold": 1.0}, "score_threshold is 1.0"),
        ({"windows_per_side": 2}, "do not fit"),
        ({"frame_px": 768, "windows_per_side": 3}, "leave gaps"),
        ({"max_face_px": 0.0}, "max_face_px is 0.0"),
    ],
)
def test_a_view_that_is_wrong_in_one_way_is_refused(wrong: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"frame_px": 192, "window_px": 192, "score_threshold": 0.5}
    with pytest.raises(ValueError, match=message):
        View(**{**right, **wrong})
