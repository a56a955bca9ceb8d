"""Every graph in ONNX Runtime 1.28, the one of the container 26.08, against the one of this environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsdata.sample_photos import sample_folder
from fsengine.contracts.steps import detect_spec
from fsengine.contracts.tensors import DYNAMIC, DType, ModelSpec
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import shipped_folder

ort = pytest.importorskip("onnxruntime")

import ort_other  # noqa: E402
from built_full_size_pack import built_full_size_pack  # noqa: E402
from fsexport.detect.merge import MOST_FACES  # noqa: E402
from fsexport.detect.scrfd import export_scrfd  # noqa: E402

LITE = shipped_folder("packs") / "lite"
STEPS = ("detect", "align", "embed", "attractiveness", "age_gender")
ROWS = 2


@pytest.fixture(scope="module")
def other() -> Path:
    """Folder with onnxruntime 1.28, as `pip install --no-deps --target FOLDER onnxruntime==1.28.0` makes it."""
    folder = Path(os.environ.get("FACESTATS_ORT_128", ""))
    if not (folder / "onnxruntime").is_dir():
        pytest.skip("FACESTATS_ORT_128 names no folder with onnxruntime 1.28")
    return folder


def random_inputs(spec: ModelSpec) -> dict[str, NDArray[Any]]:
    """Return a photo or drawn numbers of each input's type and shape; two rows where the model batches."""
    rng = np.random.default_rng(0)
    photo = Image.open(sample_folder() / "astronaut.jpg").convert("RGB")
    feed: dict[str, NDArray[Any]] = {}
    for tensor in spec.inputs:
        shape = [120 if size == DYNAMIC else size for size in tensor.shape]
        shape = [ROWS, *shape] if spec.max_batch_size else shape
        match tensor.dtype:
            case DType.UINT8:
                height, width = shape[1:3]
                feed[tensor.name] = np.repeat(np.asarray(photo.resize((width, height)))[None], shape[0], axis=0)
            case DType.INT32:
                feed[tensor.name] = np.full(shape, 120, np.int32)
            case _:
                feed[tensor.name] = rng.random(shape, np.float32)
    return feed


def compare_step(pack_folder: Path, step: str, other: Path, tmp_path: Path) -> None:
    """Run a pack's graph in both and compare what comes out."""
    pack = read_pack(pack_folder)
    (spec,) = (spec for spec in pack.specs() if spec.name == step)
    compare(pack_folder / pack.models[step].file, spec, other, tmp_path)


def compare(graph: Path, spec: ModelSpec, other: Path, tmp_path: Path) -> None:
    """Run a graph in both and compare what comes out."""
    feed = random_inputs(spec)
    np.savez(tmp_path / "feed.npz", **feed)
    command = [sys.executable, ort_other.__file__, *map(str, (graph, tmp_path / "feed.npz", tmp_path / "out.npz"))]
    run = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(other)}, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.startswith("1.28.")
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    with np.load(tmp_path / "out.npz") as found:
        for name, expected in zip(names, session.run(names, feed), strict=True):
            # Sums of another order; a pixel may be rounded the other way.
            limit = 1 if expected.dtype == np.uint8 else 1e-3
            np.testing.assert_allclose(found[name].astype(float), expected.astype(float), atol=limit, rtol=1e-4)


@pytest.mark.parametrize("step", [step for step in STEPS if step != "attractiveness"])
def test_the_graphs_of_the_demo_pack_give_the_same_there(step: str, other: Path, tmp_path: Path) -> None:
    compare_step(LITE, step, other, tmp_path)


@pytest.mark.parametrize("step", STEPS)
def test_the_graphs_of_the_full_size_pack_give_the_same_there(
    step: str, other: Path, shared: Path, tmp_path: Path
) -> None:
    compare_step(built_full_size_pack(shared), step, other, tmp_path)


def test_a_detector_in_fp16_gives_the_same_there(other: Path, shared: Path, tmp_path: Path) -> None:
    source = shared / "weights" / "insightface" / "det_500m.onnx"
    compare(export_scrfd(source, tmp_path / "model.onnx", half=True), detect_spec(MOST_FACES), other, tmp_path)
