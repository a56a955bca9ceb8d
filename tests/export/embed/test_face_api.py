"""face-api's networks: weights as TensorFlow.js stores them, graph and torch against what TensorFlow.js computed.

`face_api_golden` holds two chips of photos that ship (public domain), and what face-api 1.7.15 gave for them in
TensorFlow.js 4.22 (`FaceRecognitionNet.forward`, the average-pooled `faceFeatureExtractor.forward`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsengine.contracts.steps import EMBED
from fsengine.errors import ExportError, InvalidInputError
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import SHIPPED_PACK, shipped_folder
from fsexport.embed.face_api_artifact import CHIP_LEFT, CHIP_TOP, CROP, read_face_api
from fsexport.embed.face_api_graph import folded
from fsexport.sources.tfjs_weights import read_tfjs_weights

ort = pytest.importorskip("onnxruntime")

GOLDEN = Path(__file__).parent / "face_api_golden"
NAMES = ("astronaut", "obama")
# Kernels are stored with the 11 bits of float16.
LEAST_COSINE = 0.99999


def golden() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((GOLDEN / "golden.json").read_text())
    return found


def chips_in_crops() -> NDArray[np.uint8]:
    """Return crops of noise with the chips where the encoder looks."""
    crops = np.random.default_rng(3).integers(0, 256, (len(NAMES), CROP.side_px, CROP.side_px, 3), np.uint8)
    for crop, name in zip(crops, NAMES, strict=True):
        chip = np.asarray(Image.open(GOLDEN / f"{name}.png"))
        crop[CHIP_TOP : CHIP_TOP + len(chip), CHIP_LEFT : CHIP_LEFT + len(chip)] = chip
    return crops


def cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def encoder() -> Path:
    folder = shipped_folder("packs") / SHIPPED_PACK
    return folder / read_pack(folder).models[EMBED].file


def embeddings(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = ort.InferenceSession(encoder()).run(None, {"portrait_crop": crops})[0]
    return found


def test_the_encoder_that_ships_is_the_recogniser_that_tensorflow_js_runs() -> None:
    crops = chips_in_crops()
    found = embeddings(crops)
    assert found.shape == (2, 192)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found[:, :128], axis=1), np.sqrt(0.5), atol=1e-5)
    for row, name in zip(found, NAMES, strict=True):
        assert cosine(row[:128].astype(np.float64), np.array(golden()[name]["recogniser"])) > LEAST_COSINE
    # Only the chip is looked at: what is round it in the crop was noise.
    around = crops.copy()
    around[:, :CHIP_TOP] = 0
    np.testing.assert_allclose(embeddings(around), found, atol=1e-6)


def test_what_the_encoder_projects_is_what_tensorflow_js_pools() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(encoder())
    (projection,) = [node for node in model.graph.node if node.op_type == "Gemm"]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(projection.input[0]))
    (pooled,) = ort.InferenceSession(model.SerializeToString()).run(
        [projection.input[0]], {"portrait_crop": chips_in_crops()}
    )
    for row, name in zip(pooled, NAMES, strict=True):
        np.testing.assert_allclose(row, golden()[name]["xception"], atol=0.01)
        assert cosine(row.astype(np.float64), np.array(golden()[name]["xception"])) > LEAST_COSINE


def test_a_batch_gives_what_each_face_gives_alone() -> None:
    crops = np.random.default_rng(4).integers(0, 256, (5, CROP.side_px, CROP.side_px, 3), np.uint8)
    together = embeddings(crops)
    np.testing.assert_allclose(np.concatenate([embeddings(crops[i : i + 1]) for i in range(5)]), together, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.01


def seeded_weights_of(tensors: dict[str, tuple[list[int], str | None]]) -> tuple[list[dict[str, Any]], bytes]:
    rng = np.random.default_rng(6)
    entries, content = [], b""
    for name, (shape, quantized) in tensors.items():
        entry: dict[str, Any] = {"name": name, "shape": shape, "dtype": "float32"}
        if quantized is None:
            content += rng.normal(size=shape).astype("<f4").tobytes()
        else:
            entry["quantization"] = {"dtype": quantized, "scale": 0.5, "min": -3.0}
            content += rng.integers(0, 255, shape).astype(np.dtype(quantized)).tobytes()
        entries.append(entry)
    return entries, content


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    entries, content = seeded_weights_of({"a": ([2, 3], "uint8"), "b": ([4], None), "c": ([1, 2], "uint16")})
    manifest, binary = tmp_path / "x-weights_manifest.json", tmp_path / "x.bin"
    manifest.write_text(json.dumps([{"paths": ["x.bin"], "weights": entries}]))
    binary.write_bytes(content)
    return manifest, binary


def entry_text(number: int = 1, *, scale: Any = 0.5, **changes: Any) -> str:
    """Return a manifest of one tensor, or of several of one name, with something changed."""
    quantization = {"dtype": "uint8", "scale": scale, "min": 0.0}
    entry = {"name": "a", "shape": [4], "dtype": "float32", "quantization": quantization} | changes
    return json.dumps([{"weights": [entry] * number}])


def test_weights_are_read_in_turn_and_scaled(pair: tuple[Path, Path]) -> None:
    weights = read_tfjs_weights(*pair)
    content = pair[1].read_bytes()
    np.testing.assert_array_equal(
        weights["a"], np.frombuffer(content[:6], np.uint8).reshape(2, 3) * np.float32(0.5) - 3
    )
    np.testing.assert_array_equal(weights["b"], np.frombuffer(content[6:22], "<f4"))
    np.testing.assert_array_equal(weights["c"][0], np.frombuffer(content[22:], "<u2") * np.float32(0.5) - 3)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda _, binary: binary.write_bytes(binary.read_bytes() + b"x"), "two models"),
        (lambda _, binary: binary.write_bytes(binary.read_bytes()[:-1]), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text("[]"), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text("{"), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text('[{"weights": [3]}]'), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text('[{"weights": []}]'), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text(entry_text(shape=[10**30])), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text(entry_text(shape=[-1, 4])), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text(entry_text(shape=[2.9])), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text(entry_text(shape=[True, 4])), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text(entry_text(name=None)), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text(entry_text(dtype="int32")), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text(entry_text(scale=1e300)), "not finite"),
        (lambda manifest, _: manifest.write_text(entry_text(scale=[1, 2])), "not weights of TensorFlow.js"),
        (lambda manifest, _: manifest.write_text(entry_text(number=2)), "two tensors are named 'a'"),
    ],
)
def test_files_that_are_no_such_pair_are_refused(pair: tuple[Path, Path], damage: Any, expected: str) -> None:
    damage(*pair)
    with pytest.raises(ExportError, match=expected):
        read_tfjs_weights(*pair)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"age_gender_model\.bin missing"):
        read_face_api([tmp_path / "face_recognition_model.bin"])


def test_a_scale_layer_is_folded_into_its_convolution() -> None:
    rng = np.random.default_rng(1)
    weights = {
        "l/conv/filters": rng.normal(size=(3, 3, 4, 5)).astype(np.float32),
        "l/conv/bias": rng.normal(size=5).astype(np.float32),
        "l/scale/weights": rng.normal(size=5).astype(np.float32),
        "l/scale/biases": rng.normal(size=5).astype(np.float32),
    }
    kernel, bias = folded(weights, "l")
    patch = rng.normal(size=(3, 3, 4))
    plain = np.einsum("hwi,hwio->o", patch, weights["l/conv/filters"]) + weights["l/conv/bias"]
    expected = plain * weights["l/scale/weights"] + weights["l/scale/biases"]
    np.testing.assert_allclose(np.einsum("hwi,oihw->o", patch, kernel) + bias, expected, rtol=1e-5)
