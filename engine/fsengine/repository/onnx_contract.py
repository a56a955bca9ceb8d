"""Compare an ONNX graph's tensors with the contract of its step."""

from __future__ import annotations

from pathlib import Path

from fsengine.contracts.tensors import DYNAMIC, DType, ModelSpec, TensorSpec
from fsengine.errors import MissingDependencyError, PackError


def check_onnx(path: Path, spec: ModelSpec) -> None:
    """Load a graph in ONNX Runtime and compare its inputs and outputs with a contract.

    A contract with `max_batch_size` above 0 asks for a dynamic first axis before its own dimensions.

    Raises:
        PackError: The graph does not load, or its tensors differ.
        MissingDependencyError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as exc:
        raise MissingDependencyError(
            "onnxruntime is needed to check a pack's graphs: pip install 'facestats[server]'"
        ) from exc
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's exceptions share no base but Exception
        raise PackError(f"{path} does not load in ONNX Runtime: {exc}") from exc
    for kind, found, expected in (
        ("inputs", session.get_inputs(), spec.inputs),
        ("outputs", session.get_outputs(), spec.outputs),
    ):
        want = {tensor.name: _full_shape(tensor, spec) for tensor in expected}
        have = {node.name: (DType.from_onnxruntime(node.type), node.shape) for node in found}
        if set(want) != set(have):
            raise PackError(f"{path}: {kind} are {sorted(have)}, the contract of {spec.name} has {sorted(want)}")
        for name, (dtype, shape) in want.items():
            found_dtype, found_shape = have[name]
            if found_dtype is not dtype or not _fits(found_shape, shape):
                raise PackError(
                    f"{path}: {name} is {found_dtype and found_dtype.value} {found_shape}, "
                    f"the contract of {spec.name} has {dtype.value} {list(shape)} (-1: any)"
                )


def _full_shape(tensor: TensorSpec, spec: ModelSpec) -> tuple[DType, tuple[int, ...]]:
    shape = tensor.shape if spec.max_batch_size == 0 else (DYNAMIC, *tensor.shape)
    return tensor.dtype, shape


def _fits(found: list[int | str | None], expected: tuple[int, ...]) -> bool:
    """Return whether a graph's shape (numbers, or names of dynamic axes) is the expected one."""
    if len(found) != len(expected):
        return False
    return all(
        not isinstance(have, int) if want == DYNAMIC else have == want
        for have, want in zip(found, expected, strict=True)
    )
