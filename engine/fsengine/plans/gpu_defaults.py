"""How the steps share a GPU, by the class of its memory: one table. `perf_analyzer` is how to tune it for one machine.

Measured on an H100 without a server (docs/guides/gpu.md): align gets no faster beyond four instances, detect does a
third more photos in batches of 64 than of 16, and the encoder is far from being what bounds. The other rows are scaled
by memory and were not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from fsengine.contracts import steps
from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX

TYPICAL_PHOTO_HW = (1024, 1536)
"""Pixels of a photo that memory is planned for, and the kernels of align."""

POOL_SHARE, MOST_POOL_MIB = 0.12, 16 << 10
"""Of a GPU's memory, what lies between the steps: Triton's pool there."""

LEAST_IN_FLIGHT = 20
"""With 16 or fewer, all of Triton's eight threads for ensembles can wait for places whose release waits behind them,
which ends after 300 s (triton-inference-server/core, ensemble_scheduler.cc: "Proceeding to avoid deadlock")."""

_CHANNELS = 3
_STEPS_WITH_IMAGE = 3
"""decode, detect, align: each may hold as many photos as the limit says."""

_TYPICAL_FACES, _CROP_SIDE_PX = 4, 224


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDefaults:
    """What the steps get on a GPU.

    Attributes:
        least_mib: Memory from which on it holds.
        decode_batch: Photos that are decoded together; the client sends those over 25 megapixels alone, so that a full
            batch takes 75 MiB for each at most.
        decode_instances: nvJPEG waits for the host between batches: another instance decodes meanwhile.
        detect_batch: Photos that are searched together; a plan is built for it.
        detect_instances: One copies while the other computes.
        align_instances: It takes one photo at a time and waits for the GPU within, so that only others fill it.
    """

    least_mib: int
    decode_batch: int
    decode_instances: int
    detect_batch: int
    detect_instances: int
    align_instances: int

    def instances(self, step: str) -> int:
        """Return how many instances a step gets on each GPU."""
        counts = {
            steps.DECODE: self.decode_instances,
            steps.DETECT: self.detect_instances,
            steps.ALIGN: self.align_instances,
        }
        return counts.get(step, 1)

    def batch(self, step: str, limit: int) -> int:
        """Return the batch limit of a step whose contract says `limit`."""
        return {steps.DECODE: self.decode_batch, steps.DETECT: self.detect_batch}.get(step, limit)


TABLE = (
    GpuDefaults(
        least_mib=70_000, decode_batch=64, decode_instances=3, detect_batch=64, detect_instances=2, align_instances=4
    ),
    GpuDefaults(
        least_mib=20_000, decode_batch=32, decode_instances=2, detect_batch=32, detect_instances=2, align_instances=4
    ),
    GpuDefaults(
        least_mib=10_000, decode_batch=16, decode_instances=2, detect_batch=16, detect_instances=1, align_instances=4
    ),
    GpuDefaults(
        least_mib=0, decode_batch=16, decode_instances=1, detect_batch=16, detect_instances=1, align_instances=2
    ),
)
"""From the largest to the smallest."""


def gpu_defaults(memory_mib: int) -> GpuDefaults:
    """Return the row of a GPU with so much memory."""
    return next(row for row in TABLE if memory_mib >= row.least_mib)


def pool_mib(memory_mib: int) -> int:
    """Return the size of Triton's pool on a GPU with so much memory."""
    return min(MOST_POOL_MIB, int(POOL_SHARE * memory_mib))


def photos_in_flight(memory_mib: int, num_gpus: int = 1) -> tuple[int, int]:
    """Return how many photos an ensemble may have at each of its steps, so that typical ones fit the pool.

    Args:
        memory_mib: Of one GPU.
        num_gpus: GPUs of that kind.

    Returns:
        The limit of `facestats`, and that of each other ensemble: each counts for itself, and they share the steps.
    """
    height, width = TYPICAL_PHOTO_HW
    images = _STEPS_WITH_IMAGE * _CHANNELS * (height * width + DETECTOR_SIDE_PX**2)
    crops = _CHANNELS * _TYPICAL_FACES * _CROP_SIDE_PX**2
    photos = num_gpus * (pool_mib(memory_mib) << 20) // (images + crops)
    return max(LEAST_IN_FLIGHT, photos // 2), max(LEAST_IN_FLIGHT, photos // 4)
