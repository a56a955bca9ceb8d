from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsengine.contracts.steps import detect_spec
from fsengine.errors import ExportError
from fsengine.packs.pack import HALF_PRECISIONS
from fsexport.artifact.exported import Origin
from fsexport.artifact.precision import Precision
from fsexport.detect.detect_numpy import decode_scrfd, merge_candidates, scrfd_input, view_candidates
from fsexport.detect.detector_artifact import detector_precision, export_detector_artifact
from fsexport.detect.merge import MergeSettings
from fsexport.detect.scrfd import ScrfdSettings, export_scrfd
from fsexport.detect.views import View
from squares_for_tests import detector_square

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is missing; it runs graphs")
pytest.importorskip("onnx", reason="onnx is missing; it writes graphs")
pytest.importorskip("cv2", reason="OpenCV is missing; it scales the reference")

PHOTOS = (
    "group/zidane.jpg",
    "portrait/gauss.png",
    "noface/coffee.png",
    "group/solvay_conference_1927.png",
    "portrait/fei_fei_li.jpg",
)
# Both run the same network in float32, on views that were scaled by other code.
BOX_TOLERANCE_PX = 0.05
SCORE_TOLERANCE = 1e-3
TILED = (
    View(frame_px=640, window_px=640, score_threshold=0.5),
    View(frame_px=960, window_px=544, windows_per_side=2, score_threshold=0.5, max_face_px=60.0),
)


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights" / "insightface"


@pytest.fixture(scope="module")
def squares(shared: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([detector_square(shared / "samples" / "photos" / name) for name in PHOTOS])


def faces_of(session: Any, squares: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[np.ndarray[Any, Any]]:
    """Yield float32 (F, 15) of each photo."""
    boxes, landmarks, scores, _ = session.run(None, {"detector_input": squares})
    for box, points, score in zip(boxes, landmarks, scores, strict=True):
        count = int((score > 0).sum())
        yield np.concatenate([box, points.reshape(-1, 10), score[:, None]], axis=1)[:count]


@pytest.mark.parametrize("file", ["det_500m.onnx", "scrfd_2.5g_bnkps_dynamic.onnx"])
@pytest.mark.parametrize("views", [ScrfdSettings().views, TILED], ids=["two sizes", "tiled"])
def test_a_batch_gives_what_the_reference_gives_for_each_photo(
    weights: Path, squares: Any, tmp_path: Path, file: str, views: tuple[View, ...]
) -> None:
    settings = ScrfdSettings(views=views)
    session = ort.InferenceSession(export_scrfd(weights / file, tmp_path / "detect.onnx", settings))
    network = ort.InferenceSession(weights / file)

    def detector(window: Any) -> Any:
        outputs = network.run(None, {"input.1": scrfd_input(window)})
        return decode_scrfd(outputs, window.shape[0])

    counts = []
    for square, found in zip(squares, faces_of(session, squares), strict=True):
        expected, _ = merge_candidates([view_candidates(square, view, detector) for view in views], settings.merge)
        assert len(found) == len(expected)
        np.testing.assert_allclose(found[:, :14], expected[:, :14], atol=BOX_TOLERANCE_PX)
        np.testing.assert_allclose(found[:, 14], expected[:, 14], atol=SCORE_TOLERANCE)
        counts.append(len(found))
    assert counts[:3] == [2, 1, 0]
    assert counts[3] >= 20
    assert counts[4] == 1


def test_insightface_finds_the_same_faces(weights: Path, squares: Any, tmp_path: Path) -> None:
    scrfd = pytest.importorskip("insightface.model_zoo.scrfd", reason="insightface is missing; it is the oracle")
    oracle = scrfd.SCRFD(model_file=str(weights / "det_500m.onnx"))
    settings = ScrfdSettings(
        views=(View(frame_px=640, window_px=640, score_threshold=0.5),),
        merge=MergeSettings(iou_threshold=0.4, containment_threshold=1.0),
    )
    session = ort.InferenceSession(export_scrfd(weights / "det_500m.onnx", tmp_path / "detect.onnx", settings))

    for square, found in zip(squares, faces_of(session, squares), strict=True):
        boxes, landmarks = oracle.detect(square[..., ::-1], input_size=(640, 640))
        assert len(found) == len(boxes)
        np.testing.assert_allclose(found[:, :4], boxes[:, :4], atol=BOX_TOLERANCE_PX)
        np.testing.assert_allclose(found[:, 4:14], landmarks.reshape(-1, 10), atol=BOX_TOLERANCE_PX)
        np.testing.assert_allclose(found[:, 14], boxes[:, 4], atol=SCORE_TOLERANCE)


def test_the_tensors_are_those_of_the_contract(weights: Path, tmp_path: Path) -> None:
    settings = ScrfdSettings(merge=MergeSettings(max_faces=7, iou_threshold=0.4))
    session = ort.InferenceSession(export_scrfd(weights / "det_500m.onnx", tmp_path / "detect.onnx", settings))
    spec = detect_spec(7)
    assert [(t.name, tuple(t.shape[1:])) for t in session.get_inputs()] == [(t.name, t.shape) for t in spec.inputs]
    assert [(t.name, tuple(t.shape[1:])) for t in session.get_outputs()] == [(t.name, t.shape) for t in spec.outputs]


def test_a_file_of_one_fixed_size_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="fixed to 640 px"):
        export_scrfd(weights / "scrfd_2.5g_bnkps_640.onnx", tmp_path / "detect.onnx")
    assert not list(tmp_path.iterdir())


def test_in_fp16_the_network_alone_is_half_and_finds_the_same_faces(
    weights: Path, shared: Path, tmp_path: Path
) -> None:
    import onnx

    exported = export_detector_artifact(
        [weights / "det_500m.onnx"],
        Origin(source="SCRFD", licence="non-commercial", commercial_use=False),
        ScrfdSettings(),
        [shared / "samples" / "photos" / name for name in PHOTOS],
        tmp_path / "detect",
        lambda _: None,
        precision=Precision.FP16,
    )
    assert exported.precision == "fp16"
    position, score = exported.parity
    assert 0 < position.largest_difference <= 1
    assert 0 < score.largest_difference <= 0.01
    graph = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "detect" / exported.file)).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    types |= {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input)}
    inputs = {kind: {types[node.input[0]] for node in graph.node if node.op_type == kind} for kind in ("Conv", "TopK")}
    assert inputs == {"Conv": {onnx.TensorProto.FLOAT16}, "TopK": {onnx.TensorProto.FLOAT}}
    (suppression,) = (node for node in graph.node if node.op_type == "NonMaxSuppression")
    assert {types[name] for name in suppression.input[:2]} == {onnx.TensorProto.FLOAT}


def test_the_detector_of_a_pack_is_half_where_its_encoder_holds_fp16() -> None:
    half = {p.value for p in Precision if detector_precision(ScrfdSettings(), p) is Precision.FP16}
    assert half == HALF_PRECISIONS
