from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsengine.contracts.steps import detect_spec
from fsexport.detect.blazeface import (
    FULL_RANGE_LAYERS,
    FULL_RANGE_PX,
    SHORT_RANGE_LAYERS,
    SHORT_RANGE_PX,
    BlazeFaceSettings,
    blazeface_anchors,
    export_blazeface,
    landmark_matrix,
)
from fsexport.detect.detect_numpy import decode_blazeface, merge_candidates, view_candidates
from fsexport.detect.views import View
from fsexport.sources.mediapipe_wheel import FACE_DETECTION_FULL_RANGE, FACE_DETECTION_SHORT_RANGE, read_wheel_model
from squares_for_tests import detector_square

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is missing; it runs graphs")

FACES_FOUND = {"astronaut.jpg": 1, "camera.jpg": 1, "obama.jpg": 1, "solvay_conference_1927.jpg": 20}
"""Faces that at least have to be found in shipped photos; exact where there is one."""
# Networks and scaling in float32 by other code; boxes are hundreds of pixels from their anchors at most.
BOX_TOLERANCE_PX = 0.05
SCORE_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def wheel() -> Path:
    path = os.environ.get("FACESTATS_MEDIAPIPE_WHEEL")
    if not path:
        pytest.skip("FACESTATS_MEDIAPIPE_WHEEL does not name the wheel of mediapipe 0.10.14")
    return Path(path)


@pytest.fixture(scope="module")
def exported(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return ort.InferenceSession(export_blazeface([wheel], tmp_path_factory.mktemp("blazeface") / "detect.onnx"))


@pytest.fixture(scope="module")
def squares(photos: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([detector_square(photos / name) for name in FACES_FOUND])


def faces_of(session: Any, squares: Any) -> list[np.ndarray[Any, Any]]:
    """Return float32 (F, 15) of each photo."""
    boxes, landmarks, scores, _ = session.run(None, {"detector_input": squares})
    rows = np.concatenate([boxes, landmarks.reshape(*boxes.shape[:2], 10), scores[..., None]], axis=2)
    return [photo[photo[:, 14] > 0] for photo in rows]


def test_the_graph_has_the_tensors_of_the_contract(exported: Any) -> None:
    spec = detect_spec(BlazeFaceSettings().merge.max_faces)
    assert [(t.name, tuple(t.shape[1:])) for t in exported.get_inputs()] == [(t.name, t.shape) for t in spec.inputs]
    assert [(t.name, tuple(t.shape[1:])) for t in exported.get_outputs()] == [(t.name, t.shape) for t in spec.outputs]


def test_the_graph_finds_the_faces_of_the_shipped_photos(exported: Any, squares: Any) -> None:
    for expected, faces in zip(FACES_FOUND.values(), faces_of(exported, squares), strict=True):
        assert len(faces) == expected if expected == 1 else len(faces) >= expected


def test_a_photo_gives_the_same_alone_and_in_a_batch(exported: Any, squares: Any) -> None:
    together = faces_of(exported, squares)
    for row in range(len(squares)):
        (alone,) = faces_of(exported, squares[row : row + 1])
        np.testing.assert_allclose(alone, together[row], atol=1e-3)


def test_landmarks_lie_as_in_an_upright_face(exported: Any, squares: Any) -> None:
    for faces in faces_of(exported, squares)[:1]:
        eye, other_eye, nose, mouth, other_mouth = faces[0, 4:14].reshape(5, 2)
        assert eye[0] < nose[0] < other_eye[0]
        assert mouth[0] < other_mouth[0]
        assert max(eye[1], other_eye[1]) < nose[1] < min(mouth[1], other_mouth[1])


def test_a_black_photo_has_no_face(exported: Any) -> None:
    boxes, landmarks, scores, truncated = exported.run(None, {"detector_input": np.zeros((2, 640, 640, 3), np.uint8)})
    assert not boxes.any()
    assert not landmarks.any()
    assert not scores.any()
    assert truncated.tolist() == [[False], [False]]


def test_the_graph_gives_what_the_reference_gives(wheel: Path, squares: Any, tmp_path: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai_edge_litert is missing; it is the oracle")
    pytest.importorskip("cv2", reason="OpenCV is missing; it scales the reference")
    settings = BlazeFaceSettings()

    def detector(model: Any, side_px: int, layers: tuple[tuple[int, int], ...]) -> Any:
        interpreter = litert.Interpreter(model_content=read_wheel_model([wheel], model))
        interpreter.allocate_tensors()
        regressors, logits = interpreter.get_output_details()

        def detect(window: Any) -> Any:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], (window / 127.5 - 1.0)[None])
            interpreter.invoke()
            points = interpreter.get_tensor(regressors["index"])[0]
            return decode_blazeface(points, interpreter.get_tensor(logits["index"])[0], side_px, layers)

        return detect

    short = detector(FACE_DETECTION_SHORT_RANGE, SHORT_RANGE_PX, SHORT_RANGE_LAYERS)
    full = detector(FACE_DETECTION_FULL_RANGE, FULL_RANGE_PX, FULL_RANGE_LAYERS)
    session = ort.InferenceSession(export_blazeface([wheel], tmp_path / "detect.onnx"))

    for square, found in zip(squares, faces_of(session, squares), strict=True):
        parts = [view_candidates(square, settings.short_range, short)]
        parts += [view_candidates(square, view, full) for view in settings.full_range]
        expected, _ = merge_candidates(parts, settings.merge)
        assert len(found) == len(expected)
        np.testing.assert_allclose(found[:, :14], expected[:, :14], atol=BOX_TOLERANCE_PX)
        np.testing.assert_allclose(found[:, 14], expected[:, 14], atol=SCORE_TOLERANCE)


def test_anchors_are_in_the_middle_of_their_cells() -> None:
    short = blazeface_anchors(SHORT_RANGE_PX, SHORT_RANGE_LAYERS)
    full = blazeface_anchors(FULL_RANGE_PX, FULL_RANGE_LAYERS)
    assert short.shape == (896, 2)
    assert full.shape == (2304, 2)
    assert short[[0, 1, 2, 512]].tolist() == [[4, 4], [4, 4], [12, 4], [8, 8]]
    assert full[[0, 1, 48]].tolist() == [[2, 2], [6, 2], [2, 6]]


def test_mouth_corners_lie_beside_the_mouth_along_the_eyes() -> None:
    # right eye, left eye, nose, mouth, right ear, left ear of a face that is turned by a quarter
    points = np.array([50, 20, 50, 120, 80, 70, 100, 70, 60, 0, 60, 140], np.float32)
    corners = (points @ landmark_matrix()).reshape(5, 2)[3:]
    np.testing.assert_allclose(corners, [[100, 70 - 41.4], [100, 70 + 41.4]], rtol=1e-5)


def test_a_view_that_does_not_fit_its_network_is_refused() -> None:
    with pytest.raises(ValueError, match="this network takes 128 px"):
        BlazeFaceSettings(short_range=View(frame_px=192, window_px=192, score_threshold=0.5))
