"""The stand-ins refuse what the native backends refuse: one configuration, wrong in one way, per rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fsengine.backends import dali_rules, fil_rules, onnxruntime_rules
from fsengine.backends.config_rules import BackendConfig, read_backend_config
from fsengine.errors import PackError

Change = Callable[[dict[str, Any]], Any]


def tensor(name: str, data_type: str, dims: list[int], **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "dims": [str(size) for size in dims], **more}


def config_of(record: dict[str, Any], folder: Path, kind: str = "KIND_CPU") -> BackendConfig:
    (folder / "1").mkdir(exist_ok=True)
    (folder / "1" / "artifact").touch()
    arguments = {
        "model_config": json.dumps(record),
        "model_name": "step",
        "model_instance_kind": kind,
        "model_instance_device_id": "1",
        "model_repository": str(folder),
        "model_version": "1",
    }
    return read_backend_config(arguments, "artifact")


def dali_record() -> dict[str, Any]:
    return {
        "max_batch_size": 16,
        "input": [
            tensor("encoded_image", "TYPE_UINT8", [-1], allow_ragged_batch=True),
            tensor("orientation", "TYPE_UINT8", [1]),
        ],
        "output": [tensor("image", "TYPE_UINT8", [-1, -1, 3]), tensor("image_size", "TYPE_INT32", [2])],
        "parameters": {"num_threads": {"string_value": "2"}},
    }


def test_a_sound_dali_configuration_passes(tmp_path: Path) -> None:
    config = config_of(dali_record(), tmp_path)
    dali_rules.check_config(config)
    dali_rules.check_pipeline(config, missing_inputs=[], num_outputs=2)
    assert config.inputs[0].ragged


WRONG_DALI: dict[str, tuple[Change, str]] = {
    "no batch": (lambda r: r.update(max_batch_size=0), "max_batch_size above 0"),
    "strings": (lambda r: r["input"][0].update(data_type="TYPE_STRING"), "TYPE_UINT8 of dims"),
    "two axes": (lambda r: r["input"][0].update(dims=["-1", "-1"]), r"dims \[-1\]"),
    "three inputs": (lambda r: r["input"].append(r["input"][1]), "orientations, TYPE_UINT8"),
    "no orientation": (lambda r: r["input"].pop(), "orientations, TYPE_UINT8"),
    "wide orientation": (lambda r: r["input"][1].update(dims=["2"]), r"orientations, TYPE_UINT8 of dims \[1\]"),
    "unknown parameter": (lambda r: r["parameters"].update(threads={"string_value": "1"}), "threads"),
    "no number": (lambda r: r["parameters"].update(num_threads={"string_value": "many"}), "many"),
    "unknown type": (lambda r: r["output"][0].update(data_type="TYPE_STRING"), "TYPE_STRING"),
}


@pytest.mark.parametrize("name", WRONG_DALI)
def test_dali_refuses(tmp_path: Path, name: str) -> None:
    change, message = WRONG_DALI[name]
    record = dali_record()
    change(record)
    with pytest.raises(PackError, match=message):
        dali_rules.check_config(config_of(record, tmp_path))


@pytest.mark.parametrize(
    ("missing", "num_outputs", "message"),
    [(["orientation"], 2, "no external source named 'orientation'"), ([], 3, "has 3 outputs")],
)
def test_dali_refuses_another_pipeline(tmp_path: Path, missing: list[str], num_outputs: int, message: str) -> None:
    with pytest.raises(PackError, match=message):
        dali_rules.check_pipeline(config_of(dali_record(), tmp_path), missing_inputs=missing, num_outputs=num_outputs)


def test_without_a_ragged_batch_only_equal_lengths_merge() -> None:
    assert dali_rules.merge_groups([3, 5, 3], ragged=True) == [[0, 1, 2]]
    assert dali_rules.merge_groups([3, 5, 3], ragged=False) == [[0, 2], [1]]


def fil_record() -> dict[str, Any]:
    parameters = {
        "model_type": "treelite_checkpoint",
        "is_classifier": "true",
        "predict_proba": "true",
        "threshold": "0.5",
    }
    return {
        "max_batch_size": 256,
        "input": [tensor("input__0", "TYPE_FP32", [8])],
        "output": [tensor("output__0", "TYPE_FP32", [7])],
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    }


def test_a_sound_fil_configuration_passes(tmp_path: Path) -> None:
    settings = fil_rules.forest_settings(config_of(fil_record(), tmp_path))
    assert (settings.model_type, settings.num_classes) == ("treelite_checkpoint", 7)


WRONG_FIL: dict[str, tuple[Change, str]] = {
    "no batch": (lambda r: r.update(max_batch_size=0), "max_batch_size above 0"),
    "input name": (lambda r: r["input"][0].update(name="face_embedding"), "input__0"),
    "input type": (lambda r: r["input"][0].update(data_type="TYPE_FP64"), "TYPE_FP32"),
    "output name": (lambda r: r["output"][0].update(name="probability"), "output__0"),
    "one class": (lambda r: r["output"][0].update(dims=["1"]), "classes"),
    "old output_class": (lambda r: r["parameters"].update(output_class={"string_value": "true"}), "is_classifier"),
    "old algo": (lambda r: r["parameters"].update(algo={"string_value": "NAIVE"}), "layout"),
    "old threads_per_tree": (lambda r: r["parameters"].update(threads_per_tree={"string_value": "1"}), "chunk_size"),
    "removed storage_type": (lambda r: r["parameters"].update(storage_type={"string_value": "AUTO"}), "storage_type"),
    "no threshold": (lambda r: r["parameters"].pop("threshold"), "threshold"),
    "classes only": (lambda r: r["parameters"].pop("predict_proba"), "predict_proba"),
    "unknown model": (lambda r: r["parameters"].update(model_type={"string_value": "onnx"}), "model_type"),
}


@pytest.mark.parametrize("name", WRONG_FIL)
def test_fil_refuses(tmp_path: Path, name: str) -> None:
    change, message = WRONG_FIL[name]
    record = fil_record()
    change(record)
    with pytest.raises(PackError, match=message):
        fil_rules.forest_settings(config_of(record, tmp_path))


def onnx_record() -> dict[str, Any]:
    return {
        "max_batch_size": 8,
        "input": [tensor("x", "TYPE_FP32", [3, 4])],
        "output": [tensor("y", "TYPE_FP32", [5])],
        "parameters": {},
    }


def node(name: str, kind: str, shape: list[Any]) -> Any:
    return SimpleNamespace(name=name, type=kind, shape=shape)


X, Y = node("x", "tensor(float)", ["n", 3, 4]), node("y", "tensor(float)", ["n", 5])


def test_a_sound_onnx_configuration_passes(tmp_path: Path) -> None:
    onnxruntime_rules.check_tensors(config_of(onnx_record(), tmp_path), [X], [Y])


WRONG_ONNX = {
    "missing input": ([Y], [Y], "'x' is not in the graph"),
    "missing output": ([X], [X], "'y' is not in the graph"),
    "extra input": ([X, node("z", "tensor(float)", ["n"])], [Y], "'z'"),
    "type": ([node("x", "tensor(uint8)", ["n", 3, 4])], [Y], "TYPE_UINT8"),
    "dims": ([node("x", "tensor(float)", ["n", 3, 5])], [Y], r"\[3, 5\]"),
    "rank": ([node("x", "tensor(float)", ["n", 3])], [Y], r"\[3\]"),
    "fixed batch": ([node("x", "tensor(float)", [1, 3, 4])], [Y], "dynamic first axis"),
}


@pytest.mark.parametrize("name", WRONG_ONNX)
def test_onnxruntime_refuses(tmp_path: Path, name: str) -> None:
    inputs, outputs, message = WRONG_ONNX[name]
    with pytest.raises(PackError, match=message):
        onnxruntime_rules.check_tensors(config_of(onnx_record(), tmp_path), inputs, outputs)


def test_onnxruntime_reads_the_native_parameters(tmp_path: Path) -> None:
    record = onnx_record()
    record["parameters"] = {"intra_op_thread_count": {"string_value": "3"}}
    record["optimization"] = {"graph": {"level": 1}}
    settings = onnxruntime_rules.session_settings(config_of(record, tmp_path), default_threads=7)
    assert (settings.intra_op_threads, settings.graph_level) == (3, 2)
    record["parameters"] = {"intra_op_thread_count": {"string_value": "all"}}
    with pytest.raises(PackError, match="all"):
        onnxruntime_rules.session_settings(config_of(record, tmp_path), default_threads=7)


def test_an_instance_runs_where_its_kind_says(tmp_path: Path) -> None:
    assert config_of(onnx_record(), tmp_path).gpu is None
    assert config_of(onnx_record(), tmp_path, kind="KIND_GPU").gpu == 1
    with pytest.raises(PackError, match="asks for MODEL; the embedded server has CPUs"):
        config_of(onnx_record(), tmp_path, kind="KIND_MODEL")


def test_cuda_options_are_those_that_the_native_backend_makes(tmp_path: Path) -> None:
    record = onnx_record()
    accelerator = {"name": "cuda", "parameters": {"prefer_nhwc": "1"}}
    record["optimization"] = {"execution_accelerators": {"gpu_execution_accelerator": [accelerator]}}
    record["parameters"] = {"arena_extend_strategy": {"string_value": "1"}}
    config = config_of(record, tmp_path, kind="KIND_GPU")
    assert onnxruntime_rules.cuda_provider_options(config) == {
        "prefer_nhwc": "1",
        "device_id": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
    }
    record["parameters"] = {"cudnn_conv_algo_search": {"string_value": "3"}}
    with pytest.raises(PackError, match="cudnn_conv_algo_search is 3, expected 0 to 2"):
        onnxruntime_rules.cuda_provider_options(config_of(record, tmp_path, kind="KIND_GPU"))


def test_a_missing_artifact_is_named(tmp_path: Path) -> None:
    record = {**onnx_record(), "default_model_filename": "model.onnx"}
    with pytest.raises(PackError, match=r"model\.onnx is missing"):
        config_of(record, tmp_path)
