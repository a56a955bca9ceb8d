from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from fsclient.backend.wire.infer_message import Tensor, answered_arrays, infer_request
from fsengine.contracts.tensors import DType
from fsengine.errors import InferenceError


@pytest.mark.parametrize("num_bytes", [0, 1, 127, 128, 300, 16_384, 3_000_000])
def test_a_request_is_the_message_that_protobuf_would_write(num_bytes: int) -> None:
    data = np.random.default_rng(0).bytes(num_bytes)
    inputs = [
        Tensor("encoded_image", DType.UINT8, (1, num_bytes), data),
        Tensor("scale", DType.FP32, (2,), np.array([0.5, 2.0], "<f4").tobytes()),
    ]
    found = pb.ModelInferRequest.FromString(infer_request("facestats", inputs, ("face_box", "face_count")))
    expected = pb.ModelInferRequest(model_name="facestats", raw_input_contents=[data, inputs[1].data])
    expected.inputs.add(name="encoded_image", datatype="UINT8", shape=[1, num_bytes])
    expected.inputs.add(name="scale", datatype="FP32", shape=[2])
    for name in ("face_box", "face_count"):
        expected.outputs.add(name=name)
    assert found == expected


def test_an_answer_gives_its_arrays() -> None:
    answer = pb.ModelInferResponse(model_name="facestats")
    arrays = {
        "face_box": np.arange(8, dtype=np.float32).reshape(2, 4),
        "face_count": np.array([2], np.int32),
        "faces_truncated": np.array([[True]]),
        "face_embedding": np.empty((0, 512), np.float32),
    }
    for (name, array), datatype in zip(arrays.items(), ("FP32", "INT32", "BOOL", "FP32"), strict=True):
        answer.outputs.add(name=name, datatype=datatype, shape=array.shape)
        answer.raw_output_contents.append(array.tobytes())
    found = answered_arrays(answer.SerializeToString())
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def _answer(datatype: str, shape: list[int], *contents: bytes) -> bytes:
    answer = pb.ModelInferResponse(raw_output_contents=contents)
    answer.outputs.add(name="face_box", datatype=datatype, shape=shape)
    return bytes(answer.SerializeToString())


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff no message",
        _answer("BYTES", [1], b"\1\0\0\0a"),
        _answer("FP32", [1, 4], b"\0" * 12),
        _answer("FP32", [1], b"\0" * 3),
        _answer("FP32", [1]),
    ],
)
def test_an_answer_that_is_none_is_an_error(data: bytes) -> None:
    with pytest.raises(InferenceError, match="cannot be read"):
        answered_arrays(data)
