"""`pynvml` of a machine that is not here: give a `Nvml`, or put the text of this module where `pynvml` is imported.

`devices` are rows of UUID, name, compute capability and MiB of memory; `fault` is what the driver says where it fails.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace


class NVMLError(Exception):
    """As in `pynvml`: the root of what the library raises."""


devices: list[tuple[str, str, str, int]] = []
fault: str | None = None


def nvmlInit() -> None:  # noqa: N802
    if fault is not None:
        raise NVMLError(fault)


def nvmlShutdown() -> None:  # noqa: N802
    return None


def nvmlSystemGetDriverVersion() -> str:  # noqa: N802
    return "580.65.06"


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(devices)


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    return index


def nvmlDeviceGetUUID(device: int) -> str:  # noqa: N802
    return devices[device][0]


def nvmlDeviceGetName(device: int) -> str:  # noqa: N802
    return devices[device][1]


def nvmlDeviceGetCudaComputeCapability(device: int) -> tuple[int, ...]:  # noqa: N802
    return tuple(int(part) for part in devices[device][2].split("."))


def nvmlDeviceGetMemoryInfo(device: int) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(total=devices[device][3] << 20)


def write_pynvml(folder: Path, state: str) -> None:
    """Put a `pynvml` into a folder of modules.

    Args:
        folder: The folder.
        state: Its Python text; `devices` or `fault`.
    """
    (folder / "pynvml.py").write_text(f"{Path(__file__).read_text()}\n{state}\n")
