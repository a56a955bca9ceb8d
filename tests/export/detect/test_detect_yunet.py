"""YuNet as the detect step against OpenCV's own FaceDetectorYN, on a network of its layout with seeded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsdata.sample_photos import sample_folder
from fsengine.errors import ExportError, InvalidInputError
from fsexport.artifact.exported import Origin
from fsexport.artifact.precision import Precision
from fsexport.detect.detector_artifact import detector_precision, export_detector_artifact, settings_for
from fsexport.detect.merge import MergeSettings
from fsexport.detect.views import View
from fsexport.detect.yunet import YuNetSettings, export_yunet
from seeded_weights import yunet
from squares_for_tests import detector_square, rows_of

ort = pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2", reason="OpenCV is missing; its FaceDetectorYN is the oracle")

PHOTOS = ("obama.jpg", "astronaut.jpg", "coffee.jpg")
# Both run the same network in float32, in other code.
POSITION_TOLERANCE_PX = 0.01
SCORE_TOLERANCE = 1e-5
THRESHOLD = 0.75


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yunet") / "face_detection_yunet_2023mar.onnx"
    yunet(path)
    return path


@pytest.fixture(scope="module")
def squares() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([detector_square(sample_folder() / name) for name in PHOTOS])


def test_a_batch_gives_what_opencv_gives_for_each_photo(network: Path, squares: Any, tmp_path: Path) -> None:
    # Boxes of the random network overlap at will: suppression is left out, so that its roundings are none of this test.
    settings = YuNetSettings(
        views=(View(frame_px=640, window_px=640, score_threshold=THRESHOLD),),
        merge=MergeSettings(iou_threshold=1.0, containment_threshold=1.0),
    )
    session = ort.InferenceSession(export_yunet(network, tmp_path / "detect.onnx", settings))
    outputs = session.run(None, {"detector_input": squares})
    oracle = cv2.FaceDetectorYN.create(str(network), "", (640, 640), THRESHOLD, 1.0, 256)
    counts = []
    for index, square in enumerate(squares):
        found = rows_of(outputs, index)
        _, expected = oracle.detect(np.ascontiguousarray(square[..., ::-1]))
        expected = np.zeros((0, 15), np.float32) if expected is None else expected.copy()
        expected[:, 2:4] += expected[:, :2]
        assert len(found) == len(expected)
        order = np.lexsort(found[:, :2].round(1).T), np.lexsort(expected[:, :2].round(1).T)
        np.testing.assert_allclose(found[order[0], :14], expected[order[1], :14], atol=POSITION_TOLERANCE_PX)
        np.testing.assert_allclose(found[order[0], 14], expected[order[1], 14], atol=SCORE_TOLERANCE)
        counts.append(len(found))
    assert min(counts) > 1
    assert max(counts) < 256


def test_the_artifact_is_compared_with_its_own_network_at_both_sizes(network: Path, tmp_path: Path) -> None:
    settings = settings_for([network], 32)
    assert isinstance(settings, YuNetSettings)
    assert len(settings.views) == 2
    lines: list[str] = []
    exported = export_detector_artifact(
        [network],
        Origin(source="seeded", licence="MIT", commercial_use=True),
        settings,
        [sample_folder() / name for name in PHOTOS],
        tmp_path / "detect",
        lines.append,
    )
    assert exported.outputs[0].shape == (32, 4)
    assert {row.quantity for row in exported.parity} == {"boxes and landmarks, px of 640", "score"}
    assert all(row.passed for row in exported.parity)


def test_a_model_of_other_outputs_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected those of YuNet"):
        export_yunet(shared / "weights" / "insightface" / "det_500m.onnx", tmp_path / "detect.onnx")
    assert not list(tmp_path.iterdir())


def test_it_stays_in_fp32_in_every_pack(network: Path, tmp_path: Path) -> None:
    settings = settings_for([network], 32)
    assert {detector_precision(settings, precision) for precision in Precision} == {Precision.FP32}
    with pytest.raises(InvalidInputError, match="in fp16: expected fp32, or fp16 for SCRFD and CenterFace"):
        export_detector_artifact(
            [network],
            Origin(source="seeded", licence="MIT", commercial_use=True),
            settings,
            [],
            tmp_path / "detect",
            lambda _: None,
            precision=Precision.FP16,
        )
