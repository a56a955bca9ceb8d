from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fsengine.errors import ExportError, InvalidInputError
from fsexport.sources.mediapipe_wheel import (
    FACE_DETECTION_FULL_RANGE,
    FACE_DETECTION_SHORT_RANGE,
    FACE_LANDMARK,
    WheelModel,
    read_wheel_model,
)
from fsexport.sources.tflite_graph import TfliteNetwork, export_tflite

pytest.importorskip("tflite", reason="tflite is missing; it reads the flatbuffer")

# Values reach 180 in float32; the interpreter multiplies and adds in another order.
TOLERANCE = 5e-4

INNER_TENSORS = {
    FACE_DETECTION_SHORT_RANGE: [],
    FACE_DETECTION_FULL_RANGE: [],
    FACE_LANDMARK: ["p_re_lu_9", "p_re_lu_12", "p_re_lu_18"],
}


@pytest.fixture(scope="module")
def wheel() -> Path:
    path = os.environ.get("FACESTATS_MEDIAPIPE_WHEEL")
    if not path:
        pytest.skip("FACESTATS_MEDIAPIPE_WHEEL does not name the wheel of mediapipe 0.10.14")
    return Path(path)


@pytest.mark.parametrize("model", INNER_TENSORS, ids=lambda m: Path(m.member).stem)
def test_the_graph_gives_what_the_interpreter_gives(wheel: Path, tmp_path: Path, model: WheelModel) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai_edge_litert is missing; it is the oracle")
    import onnxruntime as ort

    content = read_wheel_model([wheel], model)
    session = ort.InferenceSession(export_tflite(content, tmp_path / "network.onnx", INNER_TENSORS[model]))
    interpreter = litert.Interpreter(model_content=content, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    tensors = {detail["name"]: detail["index"] for detail in interpreter.get_tensor_details()}
    (given,) = interpreter.get_input_details()
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, *given["shape"][1:])).astype(np.float32)

    found = session.run(None, {"input": pixels})

    names = [output.name for output in session.get_outputs()]
    assert names == [*TfliteNetwork(content).output_names, *INNER_TENSORS[model]]
    for row in range(len(pixels)):
        interpreter.set_tensor(given["index"], pixels[row : row + 1])
        interpreter.invoke()
        for name, values in zip(names, found, strict=True):
            expected = interpreter.get_tensor(tensors[name])
            assert values[row : row + 1].shape == expected.shape
            np.testing.assert_allclose(values[row : row + 1], expected, atol=TOLERANCE, rtol=0)


def test_a_tensor_that_is_not_there_is_named(wheel: Path, tmp_path: Path) -> None:
    content = read_wheel_model([wheel], FACE_DETECTION_SHORT_RANGE)
    with pytest.raises(ExportError, match="no tensor 'smile'"):
        export_tflite(content, tmp_path / "network.onnx", ["smile"])
    assert not list(tmp_path.iterdir())


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "face_landmark.tflite"
    other.write_bytes(b"another model")
    with pytest.raises(ExportError, match="expected 1055cb9d"):
        read_wheel_model([other], FACE_LANDMARK)


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "mediapipe.whl"
    other.write_bytes(b"not a zip file")
    with pytest.raises(InvalidInputError, match="pip download"):
        read_wheel_model([other], FACE_LANDMARK)
