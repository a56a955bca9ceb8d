"""What GPU this machine has, as NVIDIA's management library (NVML) tells."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fsengine.errors import MissingDependencyError, ServerError

OLDEST_COMPUTE_CAPABILITY = (7, 5)
"""Of CUDA 13 and TensorRT 11 (release notes of the 26.x containers)."""

OLDEST_DRIVER = 580
"""Of CUDA 13, without NVIDIA's package for forward compatibility."""

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU.

    Attributes:
        index: Its number in the order of `nvidia-smi`.
        uuid: Its identity, `GPU-` and hex digits.
        name: For example `NVIDIA H200`.
        compute_capability: For example (9, 0).
        memory_mib: Its memory.
        driver: Version of the driver.
    """

    index: int
    uuid: str
    name: str
    compute_capability: tuple[int, int]
    memory_mib: int
    driver: str

    @property
    def capability_text(self) -> str:
        """Return the compute capability as plans and Triton write it, for example `9.0`."""
        return ".".join(map(str, self.compute_capability))


def find_gpu(index: int = 0, nvml: Any = None) -> Gpu:
    """Return a GPU of this machine.

    Args:
        index: Which one of those that CUDA_VISIBLE_DEVICES leaves, in the order of `nvidia-smi` where it is not set.
        nvml: See `read_gpus`.

    Raises:
        MissingDependencyError: See `read_gpus`.
        ServerError: There is no such GPU, or it is too old.
    """
    gpus = read_gpus(nvml)
    visible = os.environ.get(VISIBLE_DEVICES)
    left = list(gpus.values()) if visible is None else _visible(gpus, visible)
    if index >= len(left):
        bound = "" if visible is None else f", of which {VISIBLE_DEVICES}={visible} leaves {len(left)}"
        raise ServerError(f"there is no GPU {index}; the driver lists {sorted(gpus) or 'none'}{bound}")
    gpu = left[index]
    if gpu.compute_capability < OLDEST_COMPUTE_CAPABILITY:
        oldest = ".".join(map(str, OLDEST_COMPUTE_CAPABILITY))
        raise ServerError(
            f"{gpu.name} has compute capability {gpu.capability_text}, TensorRT 11 and CUDA 13 need {oldest} or newer "
            "(Turing); use the CPU, or another GPU"
        )
    return gpu


def same_gpus(nvml: Any = None) -> list[Gpu]:
    """Return the GPUs that one server uses: the first that `CUDA_VISIBLE_DEVICES` leaves, and all others of its kind.

    Args:
        nvml: See `read_gpus`.

    Raises:
        MissingDependencyError: See `read_gpus`.
        ServerError: There is none, or it is too old.
    """
    first = find_gpu(0, nvml)
    visible = os.environ.get(VISIBLE_DEVICES)
    gpus = read_gpus(nvml)
    left = list(gpus.values()) if visible is None else _visible(gpus, visible)
    return [gpu for gpu in left if (gpu.name, gpu.memory_mib) == (first.name, first.memory_mib)]


def only(*gpus: Gpu) -> dict[str, str]:
    """Return the environment in which CUDA sees some GPUs alone, numbered from 0."""
    # CUDA numbers the fastest first unless it is told otherwise.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE_DEVICES: ",".join(str(gpu.index) for gpu in gpus)}


def show_only(*gpus: Gpu) -> None:
    """Have CUDA in this process, before its first call, and in those that it starts see some GPUs, numbered from 0."""
    os.environ.update(only(*gpus))


def _visible(gpus: dict[int, Gpu], visible: str) -> list[Gpu]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES names, by number or by how their UUID begins, as CUDA reads it."""
    left = []
    for entry in map(str.strip, visible.split(",")):
        found = [
            gpu
            for gpu in gpus.values()
            if str(gpu.index) == entry or (entry[:4] == "GPU-" and gpu.uuid.startswith(entry))
        ]
        if not found:
            break  # CUDA sees none after an entry that names nothing
        left += found[:1]
    return left


def read_gpus(nvml: Any = None) -> dict[int, Gpu]:
    """Return the GPUs of this machine by their index.

    Args:
        nvml: Module with the interface of `pynvml`; NVIDIA's own by default.

    Raises:
        MissingDependencyError: There is no NVIDIA driver, or it does not work, or `pynvml` is not installed.
    """
    nvml = _nvidia_library() if nvml is None else nvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as exc:
        raise MissingDependencyError(
            f"there is no NVIDIA driver here that works: {exc}; see whether it is loaded. In a container: start it "
            "with --gpus all"
        ) from exc
    try:
        driver = str(nvml.nvmlSystemGetDriverVersion())
        return {index: _gpu(nvml, index, driver) for index in range(nvml.nvmlDeviceGetCount())}
    except nvml.NVMLError as exc:
        raise MissingDependencyError(f"the NVIDIA driver does not answer: {exc}; see whether it works") from exc
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int, driver: str) -> Gpu:
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(device)
    return Gpu(
        index=index,
        uuid=str(nvml.nvmlDeviceGetUUID(device)),
        name=str(nvml.nvmlDeviceGetName(device)),
        compute_capability=(int(major), int(minor)),
        memory_mib=int(nvml.nvmlDeviceGetMemoryInfo(device).total) >> 20,
        driver=driver,
    )


def _nvidia_library() -> Any:
    try:
        import pynvml
    except ImportError as exc:
        raise MissingDependencyError(
            "nvidia-ml-py is not installed, which asks the driver for GPUs: pip install 'facestats[gpu]'"
        ) from exc
    return pynvml
