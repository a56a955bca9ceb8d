"""The shapes that a plan is built for."""

from __future__ import annotations

from dataclasses import dataclass

from fsengine.contracts import steps
from fsengine.contracts.preprocessing import LEAST_SIDE_PX, MAX_SIDE_PX
from fsengine.contracts.tensors import DYNAMIC, ModelSpec, TensorSpec
from fsengine.plans.gpu_defaults import TYPICAL_PHOTO_HW

TYPICAL_ROWS = 128
"""Rows that the kernels are chosen for, or the batch limit where that is less: those of a GPU that is busy."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputProfile:
    """Least, typical and greatest shape of one input.

    Attributes:
        name: The input.
        least: Shape with every axis, the batch too.
        typical: What the kernels are chosen for.
        greatest: What memory is planned for.
    """

    name: str
    least: Shape
    typical: Shape
    greatest: Shape

    def __post_init__(self) -> None:
        ranks = {len(self.least), len(self.typical), len(self.greatest)}
        ordered = all(0 < a <= b <= c for a, b, c in zip(self.least, self.typical, self.greatest, strict=False))
        if len(ranks) != 1 or not ordered:
            raise ValueError(
                f"input {self.name!r}: shapes {self.least}, {self.typical}, {self.greatest} must have one rank and grow"
            )


def profile_of(spec: ModelSpec) -> tuple[InputProfile, ...]:
    """Return the one optimization profile of a step: from one row to its batch limit, photos to the contract's cap.

    Raises:
        ValueError: An input has a dynamic axis that is neither the batch nor the side of a photo.
    """
    return tuple(_input_profile(spec, tensor) for tensor in spec.inputs)


def batch_buckets(max_batch_size: int) -> tuple[int, ...]:
    """Return the batch sizes that CUDA graphs are captured for: powers of two, and the limit itself."""
    sizes = [1 << power for power in range(max_batch_size.bit_length()) if 1 << power < max_batch_size]
    return (*sizes, max_batch_size)


def _input_profile(spec: ModelSpec, tensor: TensorSpec) -> InputProfile:
    if spec.max_batch_size:
        if DYNAMIC in tensor.shape:
            raise ValueError(f"{spec.name}: {tensor.name} has shape {tensor.shape}, expected fixed rows in a batch")
        typical = min(spec.max_batch_size, TYPICAL_ROWS)
        return InputProfile(
            name=tensor.name,
            least=(1, *tensor.shape),
            typical=(typical, *tensor.shape),
            greatest=(spec.max_batch_size, *tensor.shape),
        )
    dynamic = [axis for axis, size in enumerate(tensor.shape) if size == DYNAMIC]
    if dynamic and (tensor.name != steps.IMAGE.name or len(dynamic) != len(TYPICAL_PHOTO_HW)):
        raise ValueError(f"{spec.name}: {tensor.name} has dynamic axes {dynamic}, expected those of a photo alone")

    def filled(sides: tuple[int, int]) -> Shape:
        shape = list(tensor.shape)
        for axis, side in zip(dynamic, sides, strict=False):
            shape[axis] = side
        return tuple(shape)

    return InputProfile(
        name=tensor.name,
        least=filled((LEAST_SIDE_PX, LEAST_SIDE_PX)),
        typical=filled(TYPICAL_PHOTO_HW),
        greatest=filled((MAX_SIDE_PX, MAX_SIDE_PX)),
    )
