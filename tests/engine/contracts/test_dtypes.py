"""The one table of element types agrees with the libraries whose names it holds."""

from __future__ import annotations

import numpy as np
import pytest

from fsengine.contracts.tensors import DType


@pytest.mark.parametrize("dtype", DType)
def test_numpy_and_triton_mean_the_same(dtype: DType) -> None:
    assert np.dtype(dtype.numpy).itemsize == dtype.num_bytes
    utils = pytest.importorskip("tritonclient.utils")
    assert utils.triton_to_np_dtype(dtype.value) == np.dtype(dtype.numpy)
    pb = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    assert pb.DataType.Name(pb.DataType.Value(dtype.triton)) == dtype.triton


@pytest.mark.parametrize("dtype", DType)
def test_onnx_means_the_same(dtype: DType) -> None:
    helper = pytest.importorskip("onnx.helper")
    assert helper.tensor_dtype_to_np_dtype(dtype.onnx) == np.dtype(dtype.numpy)


@pytest.mark.parametrize("dtype", DType)
def test_onnx_runtime_calls_it_so(dtype: DType) -> None:
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    value = onnx.helper.make_tensor_value_info("x", dtype.onnx, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value], [onnx.helper.make_tensor_value_info("y", dtype.onnx, [1])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == dtype.onnxruntime


@pytest.mark.parametrize("dtype", DType)
def test_every_name_leads_back(dtype: DType) -> None:
    assert DType.from_triton(dtype.triton) is dtype
    assert DType.from_onnxruntime(dtype.onnxruntime) is dtype
    assert DType.from_tensorrt(dtype.tensorrt) is dtype


def test_names_of_no_tensor_of_ours_are_none() -> None:
    assert DType.from_triton("TYPE_STRING") is None
    assert DType.from_onnxruntime("tensor(string)") is None
    assert DType.from_tensorrt("FP8") is None
