"""The demo pack's encoder against MediaPipe's own interpreter, and against its formula in NumPy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from build_demo_pack import CROP
from demo_pack.fairface_crops import largest_faces
from demo_pack.mesh_encoder import LARGEST_MAP, export_mesh_features
from demo_pack.projection import Projection
from fsengine.packs.shipped import shipped_folder
from fsexport.sources.mediapipe_wheel import FACE_LANDMARK, read_wheel_model
from fsexport.sources.tflite_graph import TfliteNetwork

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("nvidia.dali", reason="DALI is missing; the crops come from the real decode step")

DEMO = shipped_folder("packs") / "demo"
PHOTOS_WITH_A_FACE = ("astronaut", "gauss", "hopper", "obama")


@pytest.fixture(scope="module")
def wheel() -> Path:
    path = os.environ.get("FACESTATS_MEDIAPIPE_WHEEL")
    if not path:
        pytest.skip("FACESTATS_MEDIAPIPE_WHEEL does not name the wheel of mediapipe 0.10.14")
    return Path(path)


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """Real crops, uint8 (N, 192, 192, 3): the largest faces of shipped photos, through the serving steps."""
    from fsdata.sample_photos import sample_folder

    paths = sorted(path for path in sample_folder().iterdir() if path.stem in PHOTOS_WITH_A_FACE)
    found = list(largest_faces(paths, DEMO / "detect" / "model.onnx", DEMO / "align" / "model.onnx"))
    kept = [crop for crop in found if crop is not None]
    assert len(kept) == len(paths) >= 3
    return np.stack(kept)


@pytest.fixture(scope="module")
def features(wheel: Path, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    path = export_mesh_features(wheel, CROP, tmp_path_factory.mktemp("mesh") / "features.onnx")
    return run(path, crops)


def run(path: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"portrait_crop": crops})[0]
    return result


def shipped_projection() -> Projection:
    """Read the projection out of the shipped graph: the constants of its last Gemm."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(DEMO / "embed" / "model.onnx")).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    (gemm,) = (node for node in graph.node if node.op_type == "Gemm")
    return Projection(matrix=constants[gemm.input[1]], shift=constants[gemm.input[2]])


def interpreter_features(content: bytes, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return mean and maximum of each pooled map of one crop, float32 (P,), by the TFLite interpreter."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai_edge_litert is missing; it is the oracle")
    interpreter: Any = litert.Interpreter(model_content=content, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    tensors = {detail["name"]: detail["index"] for detail in interpreter.get_tensor_details()}
    (given,) = interpreter.get_input_details()
    interpreter.set_tensor(given["index"], crop[None].astype(np.float32) / 255)
    interpreter.invoke()
    pooled = []
    for name in TfliteNetwork(content).prelu_names():
        values = interpreter.get_tensor(tensors[name])[0]  # (H, W, C)
        if values.shape[0] <= LARGEST_MAP:
            pooled += [values.mean(axis=(0, 1)), values.max(axis=(0, 1))]
    return np.concatenate(pooled)


def test_features_are_the_pooled_maps_of_the_interpreter(
    wheel: Path, crops: NDArray[np.uint8], features: NDArray[np.float32]
) -> None:
    content = read_wheel_model([wheel], FACE_LANDMARK)
    for crop, found in zip(crops, features, strict=True):
        both = [interpreter_features(content, view) for view in (crop, np.ascontiguousarray(crop[:, ::-1]))]
        # Maps reach about 30 in float32; the interpreter multiplies and adds in another order.
        np.testing.assert_allclose(found, np.mean(both, axis=0), atol=1e-3, rtol=0)


def test_the_shipped_encoder_is_the_projection_of_the_features(
    crops: NDArray[np.uint8], features: NDArray[np.float32]
) -> None:
    expected = shipped_projection().embed(features)
    found = run(DEMO / "embed" / "model.onnx", crops)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    similarities = found @ found.T
    assert similarities[~np.eye(len(found), dtype=bool)].max() < 0.99


def test_a_batch_of_real_crops_gives_what_single_ones_give(crops: NDArray[np.uint8]) -> None:
    together = run(DEMO / "embed" / "model.onnx", crops)
    for row, crop in enumerate(crops):
        np.testing.assert_allclose(run(DEMO / "embed" / "model.onnx", crop[None])[0], together[row], atol=1e-5)
