"""The heads: attractiveness, trees, InsightFace's age and gender, the linear ones of the lite pack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsdata.sample_photos import sample_folder
from fsengine.errors import ExportError
from fsexport.align.align_graph import export_align
from fsexport.heads.genderage import BUFFALO_CROP, V1_CROP, export_genderage
from fsexport.heads.linear_age_gender import LinearAgeGender, export_linear_age_gender, predict_age_gender
from fsexport.heads.rating_mlp import export_attractiveness, percentile, read_torch_mlp
from seeded_weights import genderage

ort = pytest.importorskip("onnxruntime")


def unit_rows(count: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def run(path: Path, feed: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def test_score_and_percentile_are_those_of_the_mlp_and_its_reference(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    layers = [
        (rng.normal(size=(16, 8)).astype(np.float32), rng.normal(size=16).astype(np.float32)),
        (rng.normal(size=(1, 16)).astype(np.float32), rng.normal(size=1).astype(np.float32)),
    ]
    reference = rng.gamma(2.0, size=3000)
    path = export_attractiveness(layers, reference, tmp_path / "model.onnx")
    embeddings = unit_rows(50, 8)
    found = run(path, {"face_embedding": embeddings})
    hidden = np.maximum(embeddings @ layers[0][0].T + layers[0][1], 0)
    expected = hidden @ layers[1][0].T + layers[1][1]
    np.testing.assert_allclose(found["attractiveness"], expected, atol=1e-5)
    np.testing.assert_allclose(
        found["attractiveness_percentile"][:, 0], percentile(expected[:, 0], reference), atol=1e-2
    )
    alone = run(path, {"face_embedding": embeddings[7:8]})
    np.testing.assert_allclose(alone["attractiveness_percentile"], found["attractiveness_percentile"][7:8], atol=1e-5)


@pytest.mark.parametrize(("score", "expected"), [(-5.0, 0.0), (0.0, 0.0), (0.5, 50.0), (1.0, 100.0), (9.0, 100.0)])
def test_the_percentile_covers_its_ends(tmp_path: Path, score: float, expected: float) -> None:
    layers = [(np.zeros((1, 4), np.float32), np.array([score], np.float32))]
    path = export_attractiveness(layers, np.linspace(0, 1, 500), tmp_path / "model.onnx")
    found = run(path, {"face_embedding": unit_rows(1, 4)})["attractiveness_percentile"]
    assert found[0, 0] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("shapes", [[(8, 4), (1, 9)], [(8, 4), (2, 8)], []])
def test_layers_that_do_not_chain_are_refused(tmp_path: Path, shapes: list[tuple[int, int]]) -> None:
    layers = [(np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)) for shape in shapes]
    with pytest.raises((ExportError, IndexError)):
        export_attractiveness(layers, np.linspace(0, 1, 9), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_heads_of_facestats_v4_give_their_stored_scores(tmp_path: Path, shared: Path) -> None:
    pytest.importorskip("torch", reason="torch reads the saved heads")
    folder = shared / "weights" / "facestats_v4"
    table = pq.read_table(folder / "golden" / "clip_vitb32_embeddings.parquet")
    embeddings = np.array(table["embedding"].to_pylist(), np.float32)
    for name, column, count in (
        ("models", "stored_attractiveness_models_pt", 412),
        ("src_models", "stored_attractiveness_raw_src_models_pt", 190),
    ):
        layers = read_torch_mlp(folder / name / "attractiveness_regressor.pt")
        path = export_attractiveness(layers, np.linspace(0, 5, 99), tmp_path / f"{name}.onnx")
        found = run(path, {"face_embedding": embeddings})["attractiveness"][:, 0]
        stored = np.array(table[column].to_pylist(), np.float64)
        known = ~np.isnan(stored)
        assert known.sum() == count
        exact = embeddings.astype(np.float64)
        for position, (weight, bias) in enumerate(layers):
            exact = exact @ weight.T.astype(np.float64) + bias
            exact = np.maximum(exact, 0) if position < len(layers) - 1 else exact
        np.testing.assert_allclose(exact[known, 0], stored[known], atol=1e-6)
        # Scores are near 3, where float32 has steps of 2.4e-7; sums of 512 products differ by a few.
        np.testing.assert_allclose(found[known], stored[known], rtol=1e-6)


def test_a_saved_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch writes the state of this test")
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ExportError, match=r"layer\.weight"):
        read_torch_mlp(tmp_path / "other.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(ExportError, match="weights_only"):
        read_torch_mlp(tmp_path / "junk.pt")


def test_a_state_of_parameters_in_half_precision_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch writes the state of this test")
    state = {"net.0.weight": torch.nn.Parameter(torch.ones(1, 4)), "net.0.bias": torch.ones(1, dtype=torch.bfloat16)}
    torch.save(state, tmp_path / "mine.pt")
    ((weight, bias),) = read_torch_mlp(tmp_path / "mine.pt")
    assert (weight.shape, bias.dtype, float(bias[0])) == ((1, 4), np.float32, 1.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.0.weight", "text"),
        ("net.0.weight", "torch.zeros(0, 4)"),
        ("net.0.weight", "torch.zeros(4)"),
        ("net.0.weight", "torch.zeros(1, 4, dtype=torch.int64)"),
        ("net.0.weight", "torch.zeros(1, 4, dtype=torch.complex64)"),
        ("net.0.weight", "torch.full((1, 4), float('nan'))"),
        ("net.0.weight", "torch.zeros(1, 4).to_sparse()"),
        ("net.0.weight", "torch.zeros(1).expand(10**6, 10**6)"),
        (3, "torch.zeros(1)"),
        ("net.99999999.bias", "torch.zeros(1)"),
    ],
)
def test_a_state_that_is_wrong_in_one_way_is_refused(tmp_path: Path, key: Any, value: str) -> None:
    torch = pytest.importorskip("torch", reason="torch writes the state of this test")
    state = {"net.0.weight": torch.zeros(1, 4), "net.0.bias": torch.zeros(1)}
    torch.save({**state, key: eval(value, {"torch": torch, "text": "text"})}, tmp_path / "other.pt")
    with pytest.raises(ExportError, match=r"other\.pt"):
        read_torch_mlp(tmp_path / "other.pt")


def test_genderage_v1_keeps_its_answers(tmp_path: Path, shared: Path) -> None:
    source = shared / "weights" / "genderage_v1" / "genderage_v1_112.onnx"
    path = export_genderage(source, V1_CROP, tmp_path / "model.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)
    found = run(path, {"age_gender_crop": crops})
    raw = run(source, {"data": crops.transpose(0, 3, 1, 2).astype(np.float32)})["fc1"]
    odds = np.exp(raw[:, :2])
    np.testing.assert_allclose(found["gender_probability"], odds / odds.sum(axis=1, keepdims=True), atol=1e-5)
    years = raw[:, 2:].reshape(-1, 100, 2).argmax(axis=2).sum(axis=1)
    np.testing.assert_array_equal(found["age_years"][:, 0], years)


def test_genderage_refuses_another_crop(tmp_path: Path, shared: Path) -> None:
    source = shared / "weights" / "genderage_v1" / "genderage_v1_112.onnx"
    with pytest.raises(ExportError, match="takes \\[112, 112\\] px, the crop has 96"):
        export_genderage(source, BUFFALO_CROP, tmp_path / "model.onnx")


def test_genderage_of_buffalo_gives_what_insightface_gives(tmp_path: Path) -> None:
    """The whole way from box to answer, on a network of its layout with seeded weights."""
    attribute = pytest.importorskip("insightface.model_zoo.attribute", reason="insightface is the oracle of this test")
    network = tmp_path / "genderage.onnx"
    genderage(network)
    oracle = attribute.Attribute(model_file=str(network))
    assert oracle.taskname == "genderage"
    with Image.open(sample_folder() / "astronaut.jpg") as file:
        photo = np.asarray(file.convert("RGB"))
    boxes = np.array([[172, 66, 278, 172], [150, 40, 300, 190], [210, 100, 260, 170]], np.float32)
    align = export_align(tmp_path / "align.onnx", len(boxes), BUFFALO_CROP, None)
    height, width = photo.shape[:2]
    detections = {
        "image": photo[None],
        "image_size": np.array([[width, height]], np.int32),
        "detector_scale": np.ones((1, 2), np.float32),
        "detected_box": boxes[None],
        "detected_landmarks": np.zeros((1, len(boxes), 5, 2), np.float32),
        "detected_score": np.full((1, len(boxes)), 0.9, np.float32),
    }
    crops = run(align, detections)["portrait_crop"]
    found = run(export_genderage(network, BUFFALO_CROP, tmp_path / "model.onnx"), {"age_gender_crop": crops})
    for index, box in enumerate(boxes):
        face = Face(bbox=box)
        gender, age = oracle.get(np.ascontiguousarray(photo[..., ::-1]), face)
        assert found["gender_probability"][index].argmax() == gender
        assert found["age_years"][index, 0] == pytest.approx(age, abs=1)


class Face(dict[str, Any]):
    """What insightface keeps of a face."""

    def __init__(self, bbox: NDArray[np.float32]) -> None:
        super().__init__()
        self.bbox = bbox


def test_the_graph_of_a_linear_head_agrees_with_it(tmp_path: Path) -> None:
    embeddings = unit_rows(400, 12)
    head = LinearAgeGender(
        gender_weight=unit_rows(1, 12, seed=1)[0] * 9,
        gender_bias=-0.7,
        age_weight=unit_rows(1, 12, seed=2)[0] * 120,
        age_bias=45.0,
    )
    probability, years = predict_age_gender(head, embeddings)
    assert probability.min() < 0.05 < 0.95 < probability.max()
    assert years.min() == 0
    assert years.max() == 100
    found = run(export_linear_age_gender(head, tmp_path / "model.onnx"), {"face_embedding": embeddings})
    np.testing.assert_allclose(found["gender_probability"][:, 1], probability, atol=1e-5)
    np.testing.assert_allclose(found["gender_probability"].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found["age_years"][:, 0], years, atol=1e-3)
