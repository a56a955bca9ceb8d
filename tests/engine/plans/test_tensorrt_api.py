"""The modules that call TensorRT hold against its signatures, and say what is missing where it is not installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fsengine.cli import main
from fsengine.errors import MissingDependencyError, ServerError
from fsengine.packs.shipped import shipped_folder
from fsengine.plans.tensorrt.library import on_gpu, tensorrt_version
from fsengine.repository.assemble import Target, assemble

ROOT = Path(__file__).resolve().parents[3]
ASSETS = Path(os.environ.get("FACESTATS_TEST_ASSETS") or ROOT.parent / "shared")
INSTALLED = importlib.util.find_spec("tensorrt") is not None


def check_types(folder: Path, program: str) -> str:
    """Check a program that uses TensorRT against the signatures of TensorRT 11.4, and return mypy's words."""
    pytest.importorskip("mypy")
    if not (ASSETS / "typings" / "tensorrt").is_dir():
        pytest.skip(f"{ASSETS / 'typings'} is missing: signatures of TensorRT")
    (folder / "program.py").write_text(program)
    environment = {**os.environ, "MYPYPATH": f"{ASSETS / 'typings'}:{ROOT / 'engine'}"}
    arguments = ["--strict", "--follow-imports=silent", "--ignore-missing-imports", "--allow-subclassing-any"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, f"--cache-dir={folder}", str(folder / "program.py")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return done.stdout


def test_every_call_of_the_builder_is_one_that_tensorrt_has(tmp_path: Path) -> None:
    names = sorted(
        path for path in (ROOT / "engine" / "fsengine" / "plans" / "tensorrt").glob("*.py") if path.stem != "__init__"
    )
    assert len(names) == 4
    for path in names:
        assert check_types(tmp_path, path.read_text()).startswith("Success"), path


@pytest.mark.parametrize(
    "line",
    [
        "config.set_flag(trt.BuilderFlag.FP16)",
        "config.int8_calibrator = None",
        "builder.platform_has_fast_fp16",
        "builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))",
        "builder.build_engine(network, config)",
    ],
)
def test_what_tensorrt_11_removed_is_found(line: str, tmp_path: Path) -> None:
    said = check_types(
        tmp_path,
        "import tensorrt as trt\n\n\n"
        "def use(builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig) -> None:\n"
        f"    {line}\n",
    )
    assert "has no attribute" in said


def test_nothing_sets_a_precision(tmp_path: Path) -> None:
    for path in (ROOT / "engine" / "fsengine" / "plans").rglob("*.py"):
        for word in ("BuilderFlag.FP16", "BuilderFlag.INT8", "calibrator", ".precision ="):
            assert word not in path.read_text(), path


@pytest.mark.skipif(INSTALLED, reason="TensorRT is installed")
def test_without_tensorrt_the_remedy_is_named() -> None:
    with pytest.raises(MissingDependencyError, match=r"server image of docker/, .* pip install 'facestats\[gpu\]'"):
        tensorrt_version()


def test_without_a_gpu_build_says_so_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    assemble(shipped_folder("packs") / "lite", tmp_path / "repository", target=Target.GPU)
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    done = CliRunner().invoke(main, ["build", str(tmp_path / "repository"), "--out", str(tmp_path / "planned")])
    assert done.exit_code == 1
    assert "there is no NVIDIA driver here that works" in done.output
    assert not (tmp_path / "planned").exists()


def test_a_gpu_that_tensorrt_cannot_use_is_said_with_its_own_words() -> None:
    def null() -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    with pytest.raises(ServerError, match=r"TensorRT cannot use the GPU \(CUDA driver version is insufficient\)"):
        on_gpu(null, ["CUDA driver version is insufficient"])
