"""Tensor and model contracts: the one place where a tensor's name, dtype and shape are written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

DYNAMIC = -1


class DType(str, Enum):
    """An element type, by its Triton name without the `TYPE_` prefix; every library's own name of it stands here."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    INT8 = "INT8"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"

    @property
    def triton(self) -> str:
        """Return its name in a model configuration, for example `TYPE_FP32`."""
        return f"TYPE_{self.value}"

    @property
    def numpy(self) -> str:
        """Return its name in NumPy, for example `float32`; `numpy.dtype` takes it."""
        return _NAMES[self].numpy

    @property
    def onnxruntime(self) -> str:
        """Return its name in ONNX Runtime, for example `tensor(float)`."""
        return _NAMES[self].onnxruntime

    @property
    def onnx(self) -> int:
        """Return its number in ONNX, `TensorProto.DataType`."""
        return _NAMES[self].onnx

    @property
    def tensorrt(self) -> str:
        """Return its name in TensorRT, for example `HALF`."""
        return _NAMES[self].tensorrt

    @property
    def num_bytes(self) -> int:
        """Return the bytes of one element."""
        return _NAMES[self].num_bytes

    @classmethod
    def from_triton(cls, name: str) -> DType | None:
        """Return the type of a name such as `TYPE_FP32`, or None where no tensor of ours has it."""
        return next((dtype for dtype in cls if dtype.triton == name), None)

    @classmethod
    def from_onnxruntime(cls, name: str) -> DType | None:
        """Return the type of a name such as `tensor(float)`, or None where no tensor of ours has it."""
        return next((dtype for dtype in cls if dtype.onnxruntime == name), None)

    @classmethod
    def from_tensorrt(cls, name: str) -> DType | None:
        """Return the type of a name such as `HALF`, or None where no tensor of ours has it."""
        return next((dtype for dtype in cls if dtype.tensorrt == name), None)


class _Names(NamedTuple):
    """What the libraries call one element type."""

    numpy: str
    onnxruntime: str
    onnx: int
    tensorrt: str
    num_bytes: int


_NAMES = {
    DType.BOOL: _Names("bool", "tensor(bool)", 9, "BOOL", 1),
    DType.UINT8: _Names("uint8", "tensor(uint8)", 2, "UINT8", 1),
    DType.INT8: _Names("int8", "tensor(int8)", 3, "INT8", 1),
    DType.INT32: _Names("int32", "tensor(int32)", 6, "INT32", 4),
    DType.INT64: _Names("int64", "tensor(int64)", 7, "INT64", 8),
    DType.FP16: _Names("float16", "tensor(float16)", 10, "HALF", 2),
    DType.FP32: _Names("float32", "tensor(float)", 1, "FLOAT", 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One named tensor.

    Attributes:
        name: What the tensor is, for example `face_embedding`.
        dtype: Its element type.
        shape: Its dimensions, -1 where they vary. In a model whose `max_batch_size` is above 0 the
            batch axis is left out, as in `config.pbtxt`.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a tensor needs a name")
        if not self.shape or any(d == 0 or d < DYNAMIC for d in self.shape):
            raise ValueError(f"tensor {self.name!r}: shape {self.shape} needs dimensions of -1 or >= 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The contract of one model of the repository.

    Attributes:
        name: The step's name and its folder in `model_repository/`.
        max_batch_size: The most rows in one execution; 0 where the tensors carry all of their axes.
        inputs: What it takes.
        outputs: What it gives.
    """

    name: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        if self.max_batch_size < 0:
            raise ValueError(f"model {self.name!r}: max_batch_size is {self.max_batch_size}, expected >= 0")
        for tensors in (self.inputs, self.outputs):
            names = [tensor.name for tensor in tensors]
            if len(set(names)) != len(names) or not names:
                raise ValueError(f"model {self.name!r}: tensor names {names} must be distinct and not empty")
