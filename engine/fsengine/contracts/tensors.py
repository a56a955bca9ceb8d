"""Tensor and model contracts: the one place where a tensor's name, dtype and shape are written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

DYNAMIC = -1


class DType(str, Enum):
    """An element type, by its Triton name without the `TYPE_` prefix."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"


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
