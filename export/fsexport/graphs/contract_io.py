"""Contracts of `fsengine` as the inputs and outputs of ONNX graphs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fsengine.contracts.tensors import DYNAMIC, ModelSpec, TensorSpec

if TYPE_CHECKING:
    import onnx

BATCH_AXIS = "batch"


def spec_values(tensors: Iterable[TensorSpec], *, batched: bool = False) -> list[onnx.ValueInfoProto]:
    """Return tensors as graph inputs or outputs.

    Args:
        tensors: Their contracts.
        batched: Whether a dynamic batch axis comes before each contract's own dimensions.
    """
    from onnx import helper

    values = []
    for tensor in tensors:
        shape: list[int | str] = [
            f"{tensor.name}_{axis}" if size == DYNAMIC else size for axis, size in enumerate(tensor.shape)
        ]
        values.append(
            helper.make_tensor_value_info(tensor.name, tensor.dtype.onnx, [BATCH_AXIS, *shape] if batched else shape)
        )
    return values


def model_values(spec: ModelSpec) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Return the inputs and outputs of a model's graph."""
    batched = spec.max_batch_size > 0
    return spec_values(spec.inputs, batched=batched), spec_values(spec.outputs, batched=batched)
