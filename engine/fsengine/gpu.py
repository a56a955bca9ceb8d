"""What GPU this machine has, as its driver's own program tells."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from fsengine.errors import MissingDependencyError, ServerError

OLDEST_COMPUTE_CAPABILITY = (7, 5)
"""Of CUDA 13 and TensorRT 11 (release notes of the 26.x containers)."""

_QUERY = ("index", "uuid", "name", "compute_cap", "memory.total", "driver_version")
OLDEST_DRIVER = 580
"""Of CUDA 13, without NVIDIA's package for forward compatibility."""

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"

_TIMEOUT_S = 30.0


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


def find_gpu(index: int = 0) -> Gpu:
    """Return a GPU of this machine.

    Args:
        index: Which one of those that CUDA_VISIBLE_DEVICES leaves, in the order of `nvidia-smi` where it is not set.

    Raises:
        MissingDependencyError: There is no NVIDIA driver, or it answers nothing of use.
        ServerError: There is no such GPU, or it is too old.
    """
    gpus = read_gpus(_ask_driver())
    visible = os.environ.get(VISIBLE_DEVICES)
    left = list(gpus.values()) if visible is None else _visible(gpus, visible)
    if index >= len(left):
        bound = "" if visible is None else f", of which {VISIBLE_DEVICES}={visible} leaves {len(left)}"
        raise ServerError(f"there is no GPU {index}; nvidia-smi lists {sorted(gpus) or 'none'}{bound}")
    gpu = left[index]
    if gpu.compute_capability < OLDEST_COMPUTE_CAPABILITY:
        oldest = ".".join(map(str, OLDEST_COMPUTE_CAPABILITY))
        raise ServerError(
            f"{gpu.name} has compute capability {gpu.capability_text}, TensorRT 11 and CUDA 13 need {oldest} or newer "
            "(Turing); use the CPU, or another GPU"
        )
    return gpu


def show_only(gpu: Gpu) -> None:
    """Have CUDA in this process, before its first call, and in those that it starts see one GPU alone, as number 0."""
    # CUDA numbers the fastest first unless it is told otherwise.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ[VISIBLE_DEVICES] = str(gpu.index)


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


def read_gpus(table: str) -> dict[int, Gpu]:
    """Return the GPUs of a table that `nvidia-smi` wrote as CSV without header and units, by their index.

    Raises:
        MissingDependencyError: A line is not such a row.
    """
    gpus = {}
    for line in filter(None, map(str.strip, table.splitlines())):
        fields = [field.strip() for field in line.split(",")]
        try:
            index, uuid, name, capability, memory, driver = fields
            major, minor = capability.split(".")
            gpu = Gpu(
                index=int(index),
                uuid=uuid,
                name=name,
                compute_capability=(int(major), int(minor)),
                memory_mib=int(memory),
                driver=driver,
            )
        except ValueError as exc:
            raise MissingDependencyError(
                f"nvidia-smi wrote {line!r}, expected {', '.join(_QUERY)}; does the driver work (run nvidia-smi)?"
            ) from exc
        gpus[gpu.index] = gpu
    return gpus


def _ask_driver() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        raise MissingDependencyError(
            "nvidia-smi is not on the PATH, so there is no NVIDIA driver here; in a container: start it with --gpus all"
        )
    try:
        done = subprocess.run(
            [program, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise MissingDependencyError(f"nvidia-smi did not answer: {exc}; is the driver loaded?") from exc
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise MissingDependencyError(
            f"nvidia-smi failed: {said[-1] if said else done.returncode}; is the driver loaded?"
        )
    return done.stdout
