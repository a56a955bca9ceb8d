"""What the driver's program says of GPUs; the program itself is a script here, since there is no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsengine.errors import MissingDependencyError, ServerError
from fsengine.gpu import find_gpu, read_gpus

TABLE = (
    "0, GPU-11aa, NVIDIA H200, 9.0, 143771, 580.95.05\n"
    "1, GPU-22bb, Tesla P100-PCIE-16GB, 6.0, 16384, 580.95.05\n"
    "2, GPU-33cc, NVIDIA L4, 8.9, 23034, 580.95.05\n"
)


def put_driver(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int = 0) -> None:
    """Put a program named nvidia-smi on the PATH, and nothing else."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}END\nexit {code}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_gpus_are_read_by_their_number() -> None:
    gpus = read_gpus(TABLE)
    assert (gpus[0].name, gpus[0].capability_text, gpus[0].memory_mib) == ("NVIDIA H200", "9.0", 143771)
    assert gpus[1].compute_capability == (6, 0)


@pytest.mark.parametrize(
    "line", ["0, G, X, 9.0, 1", "0, G, X, nine, 1, 2", "0, G, X, 9.0, [N/A], 5", "No devices were found"]
)
def test_what_is_no_row_is_refused_with_the_line(line: str) -> None:
    with pytest.raises(MissingDependencyError, match="does the driver work"):
        read_gpus(line)


def test_the_chosen_gpu_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_driver(tmp_path, monkeypatch, TABLE)
    assert find_gpu().name == "NVIDIA H200"
    with pytest.raises(ServerError, match=r"there is no GPU 3; nvidia-smi lists \[0, 1, 2\]$"):
        find_gpu(3)


@pytest.mark.parametrize(("visible", "index", "name"), [("2,0", 0, "L4"), ("2,0", 1, "H200"), ("GPU-33", 0, "L4")])
def test_what_a_scheduler_left_visible_is_counted(
    visible: str, index: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_driver(tmp_path, monkeypatch, TABLE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_gpu(index).name == f"NVIDIA {name}"


@pytest.mark.parametrize("visible", ["", "-1", "7,0", "GPU-99"])
def test_none_is_left_where_cuda_would_see_none(visible: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_driver(tmp_path, monkeypatch, TABLE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ServerError, match=f"of which CUDA_VISIBLE_DEVICES={visible} leaves 0"):
        find_gpu()


def test_a_gpu_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_driver(tmp_path, monkeypatch, TABLE)
    with pytest.raises(ServerError, match=r"P100.* has compute capability 6\.0, .* need 7\.5"):
        find_gpu(1)


def test_no_driver_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="nvidia-smi is not on the PATH"):
        find_gpu()
    put_driver(tmp_path, monkeypatch, "NVIDIA-SMI has failed because it couldn't communicate with the driver\n", code=9)
    with pytest.raises(MissingDependencyError, match="couldn't communicate with the driver"):
        find_gpu()
