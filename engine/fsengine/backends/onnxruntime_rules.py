"""What the native ONNX Runtime backend asks of a configuration, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fsengine.backends.config_rules import BackendConfig, TensorConfig
from fsengine.contracts.tensors import DType
from fsengine.errors import PackError

# onnxruntime_backend:src/onnxruntime.cc, `optimization.graph.level` to GraphOptimizationLevel (0, 1, 2, 99).
_GRAPH_LEVELS = {-1: 1, 0: 99, 1: 2, 2: 0}

_CUDA_VALUES = {
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
    "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
}


class NodeArgument(Protocol):
    """An input or output of an ONNX Runtime session."""

    name: str
    type: str
    shape: list[int | str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Session options, from the parameters that the native backend reads.

    Attributes:
        intra_op_threads: Threads inside an operator.
        inter_op_threads: Threads across operators.
        execution_mode: 0 sequential, 1 parallel.
        graph_level: GraphOptimizationLevel as a number.
    """

    intra_op_threads: int
    inter_op_threads: int
    execution_mode: int
    graph_level: int


def session_settings(config: BackendConfig, default_threads: int) -> SessionSettings:
    """Return the session options of a configuration.

    Raises:
        PackError: A parameter is not a number that the native backend knows.
    """
    if config.graph_level not in _GRAPH_LEVELS:
        raise PackError(
            f"model {config.name!r}: optimization.graph.level is {config.graph_level}, expected {sorted(_GRAPH_LEVELS)}"
        )
    return SessionSettings(
        intra_op_threads=_number(config, "intra_op_thread_count", default_threads),
        inter_op_threads=_number(config, "inter_op_thread_count", 1),
        execution_mode=_number(config, "execution_mode", 0),
        graph_level=_GRAPH_LEVELS[config.graph_level],
    )


def cuda_provider_options(config: BackendConfig) -> dict[str, str]:
    """Return the options of ONNX Runtime's CUDA provider that the native backend makes of a configuration.

    Raises:
        PackError: A parameter has a value that the native backend does not know.
    """
    options = {**config.cuda_options, "device_id": str(config.gpu)}
    for name, values in _CUDA_VALUES.items():
        number = _number(config, name, 0)
        if number >= len(values):
            raise PackError(f"model {config.name!r}: parameter {name} is {number}, expected 0 to {len(values) - 1}")
        options[name] = values[number]
    return options


def check_tensors(config: BackendConfig, inputs: Sequence[NodeArgument], outputs: Sequence[NodeArgument]) -> None:
    """Compare a configuration with the graph's own tensors, as the native backend does at load.

    Raises:
        PackError: A name, a type or a dimension differs, or a batching model has a fixed first axis.
    """
    for kind, configured, found in (("input", config.inputs, inputs), ("output", config.outputs, outputs)):
        graph = {node.name: node for node in found}
        for tensor in configured:
            if tensor.name not in graph:
                raise PackError(
                    f"model {config.name!r}: {kind} {tensor.name!r} is not in the graph, which has {sorted(graph)}"
                )
            _check_tensor(config, tensor, graph[tensor.name])
        if kind == "input" and (left := set(graph) - {tensor.name for tensor in configured}):
            raise PackError(f"model {config.name!r}: the graph's inputs {sorted(left)} are not in the configuration")


def _check_tensor(config: BackendConfig, tensor: TensorConfig, node: NodeArgument) -> None:
    dtype = DType.from_onnxruntime(node.type)
    found = node.type if dtype is None else dtype.triton
    if found != tensor.data_type:
        raise PackError(f"model {config.name!r}: {tensor.name} is {found} in the graph, {tensor.data_type} configured")
    shape = list(node.shape)
    if config.max_batch_size > 0:
        if not shape or isinstance(shape[0], int):
            raise PackError(
                f"model {config.name!r}: {tensor.name} has shape {shape}; max_batch_size {config.max_batch_size} "
                "needs a dynamic first axis"
            )
        shape = shape[1:]
    same = len(shape) == len(tensor.dims) and all(
        want == -1 if not isinstance(have, int) else want in (-1, have)
        for have, want in zip(shape, tensor.dims, strict=True)
    )
    if not same:
        raise PackError(
            f"model {config.name!r}: {tensor.name} has dims {shape} in the graph, {list(tensor.dims)} configured"
        )


def _number(config: BackendConfig, name: str, default: int) -> int:
    text = config.parameters.get(name)
    if text is None:
        return default
    if not text.isdigit():
        raise PackError(f"model {config.name!r}: parameter {name} is {text!r}, expected a number")
    return int(text)
