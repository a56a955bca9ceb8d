"""What the stand-ins for a GPU do without one: pad rows to buckets, and refuse to fall back to the CPU."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsengine.backends.config_rules import read_backend_config
from fsengine.backends.request_batches import in_equal_batches, padded, run_as_one
from fsengine.errors import FaceStatsError, PackError
from fsengine.gpu import find_gpu
from fsengine.packs.shipped import shipped_folder


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1]), (4, [4]), (5, [4, 1]), (9, [4, 4, 1])])
def test_batches_of_one_size_hold_every_row_once(rows: int, sizes: list[int]) -> None:
    made = in_equal_batches({"a": np.arange(1, rows + 1)}, 4)
    assert [len(batch["a"]) for batch in made] == [4] * len(sizes)
    assert [int((batch["a"] > 0).sum()) for batch in made] == sizes
    assert np.concatenate([batch["a"] for batch in made])[:rows].tolist() == list(range(1, rows + 1))


@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (3, 4), (4, 4), (5, 8), (200, 256), (256, 256)])
def test_rows_are_padded_with_zeros_to_the_next_bucket(rows: int, expected: int) -> None:
    feed: dict[str, Any] = {
        "a": np.arange(1, 2 * rows + 1, dtype=np.float32).reshape(rows, 2),
        "b": np.ones((rows, 1), np.uint8),
    }
    made = padded(feed, 256)
    for name, array in feed.items():
        assert made[name].shape == (expected, *array.shape[1:])
        assert made[name].dtype == array.dtype
        np.testing.assert_array_equal(made[name][:rows], array)
        assert not made[name][rows:].any()


def test_every_number_of_faces_gives_one_of_nine_shapes() -> None:
    rows = np.zeros((256, 1), np.float32)
    assert {len(padded({"a": rows[:count]}, 256)["a"]) for count in range(1, 257)} == {1 << power for power in range(9)}


def test_a_graph_for_the_gpu_does_not_fall_back_to_the_cpu() -> None:
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("ONNX Runtime has the CUDA provider here")
    session = importlib.import_module("fsengine.backends.onnxruntime_backend")
    folder = shipped_folder("packs") / "lite"
    config: dict[str, Any] = {"max_batch_size": 0, "input": [], "output": [], "default_model_filename": "model.onnx"}
    arguments = {
        "model_config": json.dumps(config),
        "model_name": "align",
        "model_instance_kind": "GPU",
        "model_instance_device_id": "0",
        "model_repository": str(folder),
        "model_version": "align",
    }
    assert Path(folder, "align", "model.onnx").is_file()
    with pytest.raises(PackError, match=r"model 'align' is to run on GPU 0, .* pip install 'facestats\[gpu\]'"):
        session.open_session(read_backend_config(arguments, "model.onnx"), ort.SessionOptions())


@pytest.mark.gpu
def test_on_a_gpu_no_pixel_comes_back_to_the_host() -> None:
    """Every operator on pixels runs in the CUDA provider, and ONNX Runtime adds no copy between host and GPU."""
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("no GPU: ONNX Runtime has no CUDA provider here")
    try:
        find_gpu()
    except FaceStatsError as exc:
        pytest.skip(f"no GPU: {exc}")
    placement = importlib.import_module("gpu_placement")
    for step in ("detect", "align", "embed"):
        placed = placement.run_and_place(shipped_folder("packs") / "lite" / step / "model.onnx", step)
        assert not placed.copies, (step, placed.copies)
        assert not placed.pixel_operators_on_cpu, (step, placed.pixel_operators_on_cpu)


@pytest.mark.parametrize("counts", [[3], [1, 4, 2]])
def test_requests_run_as_one_get_their_own_rows_and_no_padding(counts: list[int]) -> None:
    feeds = [{"a": np.full((count, 2), index, np.float32)} for index, count in enumerate(counts)]
    seen = []

    def run(feed: dict[str, Any], num_rows: int) -> dict[str, Any]:
        seen.append((len(feed["a"]), num_rows))
        return {"b": padded(feed, 8)["a"] + 10}

    parts = run_as_one(feeds, run)
    assert seen == [(sum(counts), sum(counts))]
    for part, feed in zip(parts, feeds, strict=True):
        np.testing.assert_array_equal(part["b"], feed["a"] + 10)
