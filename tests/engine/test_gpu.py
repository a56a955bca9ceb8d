"""What the driver says of GPUs; its library is a fake here, since there is no GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fake_nvml
from fsengine.errors import MissingDependencyError, ServerError
from fsengine.gpu import find_gpu, read_gpus

DEVICES = [
    ("GPU-11aa", "NVIDIA H200", "9.0", 143771),
    ("GPU-22bb", "Tesla P100-PCIE-16GB", "6.0", 16384),
    ("GPU-33cc", "NVIDIA L4", "8.9", 23034),
]


def driver(**replaced: Any) -> Any:
    """Return a module like `pynvml` of a machine with `DEVICES`."""
    module = ModuleType("pynvml")
    exec(compile(Path(fake_nvml.__file__).read_text(), "pynvml", "exec"), module.__dict__)
    vars(module).update({"devices": DEVICES, **replaced})
    return module


@pytest.fixture(autouse=True)
def _every_gpu_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_gpus_are_read_by_their_number() -> None:
    gpus = read_gpus(driver())
    assert (gpus[0].name, gpus[0].capability_text, gpus[0].memory_mib) == ("NVIDIA H200", "9.0", 143771)
    assert (gpus[0].uuid, gpus[0].index, gpus[0].driver) == ("GPU-11aa", 0, "580.65.06")
    assert gpus[1].compute_capability == (6, 0)


def test_what_the_driver_does_not_tell_is_said_and_the_library_is_closed() -> None:
    closed = []
    module = driver(nvmlShutdown=lambda: closed.append(True))

    def unknown(device: int) -> str:
        raise module.NVMLError("Not Supported")

    module.nvmlDeviceGetMemoryInfo = unknown
    with pytest.raises(MissingDependencyError, match="does not answer: Not Supported; see whether it works"):
        read_gpus(module)
    assert closed == [True]


def test_the_chosen_gpu_is_found() -> None:
    assert find_gpu(nvml=driver()).name == "NVIDIA H200"
    with pytest.raises(ServerError, match=r"there is no GPU 3; the driver lists \[0, 1, 2\]$"):
        find_gpu(3, driver())


@pytest.mark.parametrize(("visible", "index", "name"), [("2,0", 0, "L4"), ("2,0", 1, "H200"), ("GPU-33", 0, "L4")])
def test_what_a_scheduler_left_visible_is_counted(
    visible: str, index: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_gpu(index, driver()).name == f"NVIDIA {name}"


@pytest.mark.parametrize("visible", ["", "-1", "7,0", "GPU-99"])
def test_none_is_left_where_cuda_would_see_none(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ServerError, match=f"of which CUDA_VISIBLE_DEVICES={visible} leaves 0"):
        find_gpu(nvml=driver())


def test_a_gpu_that_is_too_old_is_refused() -> None:
    with pytest.raises(ServerError, match=r"P100.* has compute capability 6\.0, .* need 7\.5"):
        find_gpu(1, driver())


def test_a_machine_without_gpus_is_said() -> None:
    with pytest.raises(ServerError, match="there is no GPU 0; the driver lists none"):
        find_gpu(nvml=driver(devices=[]))


def test_a_driver_that_does_not_work_is_quoted() -> None:
    with pytest.raises(MissingDependencyError, match="no NVIDIA driver here that works: Driver/library version mismat"):
        find_gpu(nvml=driver(fault="Driver/library version mismatch"))


def test_nvidias_own_library_says_where_there_is_no_driver() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        with pytest.raises(MissingDependencyError, match="there is no NVIDIA driver here that works"):
            find_gpu()
    else:
        pynvml.nvmlShutdown()
        assert find_gpu().memory_mib > 0


@pytest.mark.gpu
def test_the_gpu_of_this_machine_is_what_the_driver_program_says() -> None:
    program = shutil.which("nvidia-smi")
    if program is None:
        pytest.skip("there is no NVIDIA driver here")
    query = "--query-gpu=index,uuid,name,compute_cap,memory.total,driver_version"
    row = subprocess.run([program, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True)
    gpu = read_gpus()[0]
    said = [gpu.index, gpu.uuid, gpu.name, gpu.capability_text, gpu.memory_mib, gpu.driver]
    assert row.stdout.splitlines()[0].split(", ") == [str(value) for value in said]
