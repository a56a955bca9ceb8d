"""The align graph against NumPy, OpenCV and insightface, on a real photo and on drawn pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from align_numpy import reference_crops
from fsdata.sample_photos import sample_folder
from fsengine.contracts.preprocessing import LEAST_SIDE_PX, CropKind, CropSpec
from fsexport.align.align_graph import export_align

ort = pytest.importorskip("onnxruntime")

MAX_FACES = 8
PORTRAIT = CropSpec(kind=CropKind.PORTRAIT, side_px=96)
ARCFACE = CropSpec(kind=CropKind.ARCFACE, side_px=112)
BOX = CropSpec(kind=CropKind.BOX, side_px=64)

# Eyes, nose and mouth corners on the shipped photo of Barack Obama, 640 x 800 px.
LANDMARKS = np.array([[315, 163], [392, 163], [356, 209], [322, 237], [392, 237]], np.float32)
BOX_PX = np.array([281, 105, 428, 290], np.float32)


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return np.asarray(Image.open(sample_folder() / "obama.jpg").convert("RGB"))


@pytest.fixture(scope="module", params=[ARCFACE, BOX], ids=["arcface", "box"])
def second_crop(request: pytest.FixtureRequest) -> CropSpec:
    crop: CropSpec = request.param
    return crop


@pytest.fixture(scope="module")
def session(second_crop: CropSpec, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = export_align(tmp_path_factory.mktemp("align") / "model.onnx", MAX_FACES, PORTRAIT, second_crop)
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def align(
    session: Any,
    image: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    full_size: tuple[int, int] | None = None,
) -> dict[str, NDArray[Any]]:
    """Run the graph on faces given in pixels of the full-size photo."""
    width, height = full_size or (image.shape[1], image.shape[0])
    scale = np.array([[640 / max(width, height)] * 2], np.float32)
    feed: dict[str, NDArray[Any]] = {
        "image": image[None],
        "image_size": np.array([[width, height]], np.int32),
        "detector_scale": scale,
        "detected_box": np.zeros((1, MAX_FACES, 4), np.float32),
        "detected_landmarks": np.zeros((1, MAX_FACES, 5, 2), np.float32),
        "detected_score": np.zeros((1, MAX_FACES), np.float32),
    }
    count = len(boxes)
    feed["detected_box"][0, :count] = boxes * scale[0, 0]
    feed["detected_landmarks"][0, :count] = landmarks * scale[0, 0]
    feed["detected_score"][0, :count] = np.linspace(0.9, 0.6, count)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


@pytest.mark.parametrize("zoom", [0.25, 1.0, 2.5])
def test_crops_agree_with_the_reference(
    session: Any, second_crop: CropSpec, photo: NDArray[np.uint8], zoom: float
) -> None:
    size = (round(photo.shape[1] * zoom), round(photo.shape[0] * zoom))
    image = np.asarray(Image.fromarray(photo).resize(size))
    # The face, a smaller one, and one that the edge cuts.
    landmarks = np.stack([LANDMARKS, LANDMARKS * 0.4 + 60, LANDMARKS - 250]).astype(np.float32) * np.float32(zoom)
    boxes = np.stack([BOX_PX, BOX_PX * 0.4 + 60, BOX_PX - 250]).astype(np.float32) * np.float32(zoom)
    found = align(session, image, boxes, landmarks)
    for crop, name in ((PORTRAIT, "portrait_crop"), (second_crop, "age_gender_crop")):
        expected = reference_crops(image, boxes, landmarks, crop).astype(int)
        difference = np.abs(found[name].astype(int) - expected)
        # OpenCV's remap interpolates in steps of 1/32 pixel.
        assert difference.max() <= 6
        assert difference.mean() < 0.3


def test_boxes_and_landmarks_are_in_pixels_of_the_full_size_photo(session: Any, photo: NDArray[np.uint8]) -> None:
    height, width = photo.shape[:2]
    small = np.asarray(Image.fromarray(photo).resize((width // 2, height // 2)))
    boxes = np.array([BOX_PX, [-50, -40, 100, 120]], np.float32)
    found = align(session, small, boxes, np.stack([LANDMARKS, LANDMARKS]), full_size=(width, height))
    np.testing.assert_allclose(found["face_box"], np.array([BOX_PX, [0, 0, 100, 120]]), atol=1e-3)
    np.testing.assert_allclose(found["face_landmarks"][0], LANDMARKS, atol=1e-3)
    np.testing.assert_allclose(found["face_score"][:, 0], [0.9, 0.6], atol=1e-6)
    assert found["face_count"].tolist() == [2]


def test_no_face_gives_one_placeholder_row(session: Any, second_crop: CropSpec, photo: NDArray[np.uint8]) -> None:
    found = align(session, photo, np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32))
    assert found["face_score"].tolist() == [[0.0]]
    assert found["face_count"].tolist() == [0]
    assert found["face_box"].tolist() == [[0.0] * 4]
    assert found["portrait_crop"].shape == (1, 96, 96, 3)
    assert found["age_gender_crop"].shape == (1, second_crop.side_px, second_crop.side_px, 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 2048), (2048, 3), (5, 7)])
def test_odd_photos_pass(session: Any, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 200, np.uint8)
    boxes = np.tile(BOX_PX, (MAX_FACES, 1))
    found = align(session, image, boxes, np.tile(LANDMARKS, (MAX_FACES, 1, 1)))
    assert found["portrait_crop"].shape == (MAX_FACES, 96, 96, 3)
    assert np.isfinite(found["face_box"]).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (20, 61), (31, 31), (32, 17), (2048, 13), (13, 2000), (200, 31)])
def test_no_crop_shows_what_pads_a_small_photo(session: Any, second_crop: CropSpec, size: tuple[int, int]) -> None:
    height, width = size
    image = np.random.default_rng(3).integers(90, 160, (height, width, 3), dtype=np.uint8)
    margins = [(0, max(LEAST_SIDE_PX - side, 0)) for side in size] + [(0, 0)]
    # In pixels of the photo: faces as large as it, beyond its edges, and in its corner.
    face = (LANDMARKS - [281, 105]) / [147, 185] * [width, height]
    landmarks = np.stack([face, face * 1.5 - 2, face * 0.4 + [width * 0.6, height * 0.6]]).astype(np.float32)
    boxes = np.concatenate([landmarks.min(axis=1), landmarks.max(axis=1)], axis=1)
    black, white = (
        align(session, np.pad(image, margins, constant_values=value), boxes, landmarks, full_size=(width, height))
        for value in (0, 255)
    )
    for crop, name in ((PORTRAIT, "portrait_crop"), (second_crop, "age_gender_crop")):
        np.testing.assert_array_equal(black[name], white[name])
        if max(size) <= LEAST_SIDE_PX:  # of larger ones the reference samples a level that the graph does not
            expected = reference_crops(image, boxes, landmarks, crop).astype(int)
            difference = np.abs(black[name].astype(int) - expected)
            assert np.mean(difference > 6) < 0.01  # a pixel at the very edge may be inside or not
    np.testing.assert_allclose(black["face_box"], boxes.clip(0, [width, height] * 2), atol=1e-3)


def test_a_face_does_not_depend_on_its_neighbours(session: Any, photo: NDArray[np.uint8]) -> None:
    alone = align(session, photo, BOX_PX[None], LANDMARKS[None])
    among = align(session, photo, np.stack([BOX_PX * 0.5, BOX_PX]), np.stack([LANDMARKS * 0.5, LANDMARKS]))
    np.testing.assert_array_equal(alone["portrait_crop"][0], among["portrait_crop"][1])


def test_a_large_face_shrinks_without_aliasing(session: Any) -> None:
    """A fine checkerboard shrinks to grey; single samples of it would be black and white."""
    y, x = np.mgrid[:1600, :1600]
    checkered = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    found = align(session, checkered, BOX_PX[None] * 4 - 400, LANDMARKS[None] * 4 - 400)
    inside = found["portrait_crop"][0, 30:60, 30:60]
    assert np.abs(inside.astype(int) - 127).max() <= 2


def test_the_portrait_shows_eyes_and_mouth_where_ffhq_has_them(session: Any) -> None:
    """Bright dots on the landmarks come out level, at the places that the construction gives them."""
    image = np.zeros((600, 600, 3), np.uint8)
    landmarks = np.array([[250, 260], [350, 280], [295, 320], [255, 370], [325, 385]], np.float32)
    for point in (landmarks[0], landmarks[1]):
        cv2.circle(image, tuple(int(v) for v in point), 5, (255, 255, 255), -1)
    crop = align(session, image, np.array([[200, 200, 400, 450]], np.float32), landmarks[None])["portrait_crop"][0]
    rows, columns = np.nonzero(crop[..., 0] > 60)
    left, right = columns < 48, columns >= 48
    assert abs(rows[left].mean() - rows[right].mean()) < 3
    assert abs((columns[left].mean() + columns[right].mean()) / 2 - 47.5) < 3
    assert 30 < rows.mean() < 48


def test_arcface_crops_are_those_of_insightface(session: Any, second_crop: CropSpec, photo: NDArray[np.uint8]) -> None:
    if second_crop.kind is not CropKind.ARCFACE:
        pytest.skip("this is about the ArcFace crop")
    face_align = pytest.importorskip("insightface.utils.face_align", reason="insightface is the oracle of this test")
    # A face of about the crop's own size: insightface does not filter when it shrinks.
    small = np.asarray(Image.fromarray(photo).resize((photo.shape[1] // 2, photo.shape[0] // 2)))
    found = align(session, small, BOX_PX[None] / 2, LANDMARKS[None] / 2)["age_gender_crop"][0]
    expected = face_align.norm_crop(small, LANDMARKS / 2, 112)
    assert np.abs(found.astype(int) - expected.astype(int)).mean() < 1.0


def test_export_leaves_nothing_behind_it(tmp_path: Path) -> None:
    export_align(tmp_path / "model.onnx", 4, PORTRAIT, None)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
