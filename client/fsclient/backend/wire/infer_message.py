"""The inference request as bytes, and the arrays of its answer.

A photo's bytes are copied into the request once. Through `tritonclient` they are copied four times, by NumPy and by
protobuf, and every request is put together anew from a dozen Python objects, which took more of the client's time than
gRPC itself (docs/background/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.tensors import DType
from fsengine.errors import InferenceError

_RAW_CONTENTS_TAG = bytes([7 << 3 | 2])
"""Field 7 of `ModelInferRequest`, `raw_input_contents`: bytes, preceded by their length."""


class Tensor(NamedTuple):
    """An input of a request.

    Attributes:
        name: Its name.
        dtype: Its type.
        shape: Its shape.
        data: Its elements, row by row, little-endian.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    data: bytes


def infer_request(model: str, inputs: Sequence[Tensor], outputs: tuple[str, ...]) -> bytes:
    """Return a `ModelInferRequest` of the KServe protocol as bytes.

    Messages of protobuf that follow each other are one message with the fields of all; repeated ones add up.

    Args:
        model: Name of the model.
        inputs: Its inputs.
        outputs: Names of the outputs to ask for.
    """
    parts = [_asked_for(model, outputs), _described(inputs)]
    for tensor in inputs:
        parts += [_RAW_CONTENTS_TAG, _varint(len(tensor.data)), tensor.data]
    return b"".join(parts)


def answered_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the outputs of a `ModelInferResponse` by name.

    Raises:
        InferenceError: It is no such message, or holds a tensor of a type that none of ours has.
    """
    from google.protobuf.message import DecodeError
    from tritonclient.grpc import service_pb2 as pb

    try:
        answer = pb.ModelInferResponse.FromString(data)
        return {
            tensor.name: np.frombuffer(raw, DType(tensor.datatype).numpy).reshape(tuple(tensor.shape))
            for tensor, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
    except (DecodeError, ValueError) as exc:
        raise InferenceError(f"the server's answer cannot be read: {exc}; expected tensors with their bytes") from exc


@lru_cache(maxsize=64)
def _asked_for(model: str, outputs: tuple[str, ...]) -> bytes:
    """Return the part of a request that is the same for every photo."""
    from tritonclient.grpc import service_pb2 as pb

    wanted = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs]
    found: bytes = pb.ModelInferRequest(model_name=model, outputs=wanted).SerializeToString()
    return found


def _described(inputs: Sequence[Tensor]) -> bytes:
    """Return the part of a request that says what its inputs are."""
    from tritonclient.grpc import service_pb2 as pb

    request = pb.ModelInferRequest()
    for tensor in inputs:
        request.inputs.add(name=tensor.name, datatype=tensor.dtype.value, shape=tensor.shape)
    found: bytes = request.SerializeToString()
    return found


def _varint(number: int) -> bytes:
    """Return a whole number as protobuf writes it: seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
