from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fsengine.contracts.steps import detect_spec
from fsexport.detect.detect_numpy import merge_candidates
from fsexport.detect.merge import MergeSettings, write_faces
from fsexport.graphs.contract_io import spec_values
from fsexport.graphs.graph_builder import GraphBuilder

onnx = pytest.importorskip("onnx", reason="onnx is missing; it writes graphs")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is missing; it runs graphs")

Floats = NDArray[np.float32]
OUTPUTS = ("detected_box", "detected_landmarks", "detected_score", "faces_truncated")


def run_merge(candidates: Floats, settings: MergeSettings) -> dict[str, NDArray[Any]]:
    """Run the graph of `write_faces` alone on candidates, float32 (N, C, 15), beside as many that are none."""
    candidates = np.pad(candidates, ((0, 0), (0, settings.max_faces + 1), (0, 0)))
    builder = GraphBuilder()
    faces = write_faces(builder, "candidates", settings)
    given = onnx.helper.make_tensor_value_info("candidates", onnx.TensorProto.FLOAT, ["N", candidates.shape[1], 15])
    spec = detect_spec(settings.max_faces)
    for output in spec.outputs:
        builder.rename(faces[output.name], output.name)
    outputs = spec_values(spec.outputs, batched=True)
    session = ort.InferenceSession(builder.model("merge", [given], outputs).SerializeToString())
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"candidates": candidates}), strict=True))


def candidate(x: float, y: float, side: float, score: float) -> Floats:
    """Return float32 (15,): a square box with landmarks that tell which candidate they belong to."""
    return np.array([x, y, x + side, y + side, *(x + i for i in range(10)), score], np.float32)


def random_candidates(seed: int, count: int) -> Floats:
    """Return float32 (count, 15): crowded boxes, a third of them below every threshold."""
    random = np.random.default_rng(seed)
    corners, sides, scores = random.uniform(0, 600, (count, 2)), random.uniform(10, 150, count), random.random(count)
    rows = [candidate(x, y, side, score) for (x, y), side, score in zip(corners, sides, scores, strict=True)]
    table = np.stack(rows)
    table[random.random(count) < 1 / 3, 14] = 0
    return table


@pytest.mark.parametrize("max_faces", [5, 60, 256])
def test_the_graph_merges_as_the_reference_does(max_faces: int) -> None:
    settings = MergeSettings(max_faces=max_faces, iou_threshold=0.3)
    photos = [random_candidates(seed, 300) for seed in range(4)]
    photos[2][:, 14] = 0

    found = run_merge(np.stack(photos), settings)

    for row, photo in enumerate(photos):
        faces, truncated = merge_candidates([photo[photo[:, 14] > 0]], settings)
        count = len(faces)
        assert bool(found["faces_truncated"][row, 0]) is truncated
        np.testing.assert_allclose(found["detected_box"][row, :count], faces[:, :4], atol=1e-4)
        landmarks = found["detected_landmarks"][row, :count].reshape(count, 10)
        np.testing.assert_allclose(landmarks, faces[:, 4:14], atol=1e-4)
        np.testing.assert_allclose(found["detected_score"][row, :count], faces[:, 14], atol=1e-6)
        for name in OUTPUTS[:3]:
            assert not found[name][row, count:].any()


def test_a_box_inside_a_better_one_goes_and_one_that_holds_a_better_one_stays() -> None:
    settings = MergeSettings(max_faces=4, iou_threshold=0.3)
    inside = [candidate(0, 0, 100, 0.9), candidate(10, 10, 30, 0.8)]
    around = [candidate(0, 0, 100, 0.8), candidate(10, 10, 30, 0.9)]

    found = run_merge(np.stack([inside, around]), settings)

    assert (found["detected_score"] > 0).sum(axis=1).tolist() == [1, 2]


@pytest.mark.parametrize(("faces", "truncated"), [(3, False), (4, True)])
def test_a_photo_with_more_faces_than_the_limit_says_so(faces: int, truncated: bool) -> None:
    settings = MergeSettings(max_faces=3, iou_threshold=0.3)
    rows = np.stack([candidate(100 * i, 0, 50, 0.5 + i / 10) for i in range(faces)])

    found = run_merge(rows[None], settings)

    assert found["faces_truncated"].tolist() == [[truncated]]
    assert found["detected_box"][0, 0, 0] == 100 * (faces - 1)  # the best first


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_faces": 0}, "expected 1 to 256"),
        ({"max_faces": 257}, "expected 1 to 256"),
        ({"iou_threshold": 0.0}, "iou_threshold is 0.0"),
        ({"containment_threshold": 1.1}, "containment_threshold is 1.1"),
    ],
)
def test_settings_that_are_wrong_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MergeSettings(**{"iou_threshold": 0.3, **wrong})  # type: ignore[arg-type]
