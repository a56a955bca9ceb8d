"""The placeholder of a photo without a face: made by align's stand-in, and run by no encoder."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fsengine.backends.config_rules import BackendConfig, TensorConfig
from fsengine.backends.placeholders import faces_among, no_face_answer, reads_crops, with_placeholders
from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.contracts.steps import age_gender_spec, align_spec, detect_spec, embed_spec, face_embedding, portrait_crop
from fsengine.contracts.tensors import ModelSpec

PORTRAIT = CropSpec(kind=CropKind.PORTRAIT, side_px=32)
MAX_FACES = 4


def config_of(spec: ModelSpec) -> BackendConfig:
    def tensors(specs: Any) -> tuple[TensorConfig, ...]:
        return tuple(
            TensorConfig(name=t.name, data_type=t.dtype.triton, dims=tuple(t.shape), ragged=False) for t in specs
        )

    return BackendConfig(
        name=spec.name,
        max_batch_size=spec.max_batch_size,
        inputs=tensors(spec.inputs),
        outputs=tensors(spec.outputs),
        parameters={},
        graph_level=0,
        artifact=Path("model.onnx"),
        gpu=None,
        cuda_options={},
    )


ALIGN = config_of(align_spec(MAX_FACES, PORTRAIT, PORTRAIT))
EMBED = config_of(embed_spec(PORTRAIT, 8))


def scores(*found: float) -> dict[str, NDArray[Any]]:
    return {"detected_score": np.array([[*found, *[0.0] * (MAX_FACES - len(found))]], np.float32)}


def placeholder() -> NDArray[np.uint8]:
    answer = no_face_answer(ALIGN, scores())
    assert answer is not None
    return answer["portrait_crop"][0]


def test_a_photo_without_a_face_is_answered_in_the_shapes_of_the_contract() -> None:
    answer = no_face_answer(ALIGN, scores())
    assert answer is not None
    assert {name: (array.shape, str(array.dtype)) for name, array in answer.items()} == {
        "face_count": ((1,), "int32"),
        "face_box": ((1, 4), "float32"),
        "face_landmarks": ((1, 5, 2), "float32"),
        "face_score": ((1, 1), "float32"),
        "portrait_crop": ((1, 32, 32, 3), "uint8"),
        "age_gender_crop": ((1, 32, 32, 3), "uint8"),
    }
    assert not any(answer[name].any() for name in ("face_count", "face_box", "face_landmarks", "face_score"))


def test_a_photo_with_a_face_and_other_steps_are_left_to_their_graphs() -> None:
    assert no_face_answer(ALIGN, scores(0.1)) is None
    assert no_face_answer(EMBED, {"portrait_crop": np.zeros((1, 32, 32, 3), np.uint8)}) is None


def test_the_steps_that_read_crops_are_known() -> None:
    of_embedding = age_gender_spec(face_embedding(8))
    of_crop = age_gender_spec(portrait_crop(PORTRAIT))
    known = {reads_crops(config_of(spec)) for spec in (detect_spec(MAX_FACES), of_embedding)}
    assert known == {False}
    assert reads_crops(ALIGN) is False
    assert reads_crops(EMBED)
    assert reads_crops(config_of(of_crop))


@pytest.mark.parametrize("pixel", [0, 255])
def test_no_crop_of_one_colour_is_taken_for_a_placeholder(pixel: int) -> None:
    plain = np.full((32, 32, 3), pixel, np.uint8)
    almost = placeholder()
    almost[31, 31, 2] ^= 1
    assert faces_among(np.stack([plain, placeholder(), almost])).tolist() == [True, False, True]


def test_the_answers_of_faces_keep_their_places() -> None:
    faces = np.array([False, True, False, True])
    made = np.arange(24, dtype=np.float32).reshape(3, 8)  # a row more than faces, as of a padded batch
    spread = with_placeholders(EMBED, {"face_embedding": made}, faces)["face_embedding"]
    np.testing.assert_array_equal(spread[faces], made[:2])
    assert not spread[~faces].any()
    assert with_placeholders(EMBED, {}, ~faces & faces)["face_embedding"].shape == (4, 8)


class CountingSession:
    """An encoder whose embedding is the crop's mean."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def run(self, outputs: list[str], feed: dict[str, NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        (crops,) = feed.values()
        self.rows.append(len(crops))
        return [np.repeat(crops.reshape(len(crops), -1).mean(1)[:, None], 8, 1).astype(np.float32)]


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in of embed around such an encoder."""
    utilities: Any = SimpleNamespace(
        get_input_tensor_by_name=lambda request, name: SimpleNamespace(as_numpy=lambda: request.feed[name]),
        InferenceResponse=lambda tensors: dict(tensors),
        Tensor=lambda name, array: (name, array),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utilities)
    from fsengine.backends.onnxruntime_backend import TritonPythonModel

    model = TritonPythonModel()
    model._config, model._session = EMBED, CountingSession()
    model._input_names, model._output_names = ["portrait_crop"], ["face_embedding"]
    return model


def embed(step: Any, *photos: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    requests = [
        SimpleNamespace(feed={"portrait_crop": crops}, requested_output_names=lambda: ["face_embedding"])
        for crops in photos
    ]
    return [answer["face_embedding"] for answer in step.execute(requests)]


def test_an_encoder_runs_for_faces_alone(step: Any) -> None:
    faces = np.stack([np.full((32, 32, 3), pixel, np.uint8) for pixel in (10, 20, 30)])
    answers = embed(step, faces[:2], placeholder()[None], faces[2:])
    assert [answer[:, 0].tolist() for answer in answers] == [[10.0, 20.0], [0.0], [30.0]]
    assert step._session.rows == [3]
    assert embed(step, placeholder()[None])[0].shape == (1, 8)
    assert step._session.rows == [3]


def test_a_crowd_runs_in_equal_parts_that_stay_within_the_bound(step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsengine.backends import onnxruntime_backend

    crops = np.repeat(np.arange(9, dtype=np.uint8), 32 * 32 * 3).reshape(9, 32, 32, 3)
    monkeypatch.setattr(onnxruntime_backend, "RUN_INPUT_BYTES", 4 * crops[0].nbytes + 1)
    assert embed(step, crops)[0][:, 0].tolist() == list(range(9))
    assert step._session.rows == [3, 3, 3]
    assert onnxruntime_backend.rows_of_a_run({"image": np.zeros((2, 640, 640, 3), np.uint8)}) == 1
