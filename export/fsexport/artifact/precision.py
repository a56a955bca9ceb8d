"""In what a model computes."""

from __future__ import annotations

from enum import Enum

from fsengine.packs.pack import HALF_PRECISIONS


class Precision(str, Enum):
    """In what an encoder computes, and by what a pack is called that holds it.

    FP32: Anywhere.
    FP16: For a GPU: TensorRT takes the precision from the graph.
    INT8: For a CPU: static scales, calibrated on real crops.
    INT8_SYMMETRIC: For TensorRT: fp16, its matrix products in int8 without zero points.
    FP8: For TensorRT: fp16, its matrix products in float8 (e4m3fn).
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT8_SYMMETRIC = "int8-symmetric"
    FP8 = "fp8"

    @property
    def half(self) -> bool:
        """Return whether the graph holds fp16."""
        return self.value in HALF_PRECISIONS
