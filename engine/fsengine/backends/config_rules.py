"""A model's configuration as a Python backend gets it, and rules that every stand-in checks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsengine.errors import PackError
from fsengine.repository.gpu_config import CUDA_ACCELERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorConfig:
    """One input or output of a model's configuration.

    Attributes:
        name: Its name.
        data_type: Triton's name of its type, such as `TYPE_FP32`.
        dims: Its dimensions, without the batch axis of a batching model.
        ragged: Whether requests of different shapes may share an execution.
    """

    name: str
    data_type: str
    dims: tuple[int, ...]
    ragged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendConfig:
    """What a stand-in needs of a model's configuration.

    Attributes:
        name: The model.
        max_batch_size: 0 for a model that does not batch.
        inputs: Its inputs in order.
        outputs: Its outputs in order.
        parameters: Its string parameters.
        graph_level: `optimization.graph.level`.
        artifact: The file to load.
        gpu: Number of the GPU to run on; None for the CPU.
        instances: Processes that run the model side by side.
        cuda_options: Of the accelerator `cuda` in `optimization`, for ONNX Runtime.
    """

    name: str
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    parameters: dict[str, str]
    graph_level: int
    artifact: Path
    gpu: int | None
    cuda_options: dict[str, str]
    instances: int = 1


def read_backend_config(arguments: dict[str, str], default_artifact: str) -> BackendConfig:
    """Read the arguments that Triton gives to `initialize`.

    Args:
        arguments: Of `initialize`.
        default_artifact: The backend's own default file name.

    Raises:
        PackError: The model is to run on something other than a CPU or a GPU, or its file is missing.
    """
    config: dict[str, Any] = json.loads(arguments["model_config"])
    name = arguments["model_name"]
    kind = arguments["model_instance_kind"].removeprefix("KIND_")
    if kind not in ("CPU", "GPU"):
        raise PackError(f"model {name!r} asks for {kind}; the embedded server has CPUs, and GPUs where they are")
    file = config.get("default_model_filename") or default_artifact
    artifact = Path(arguments["model_repository"]) / arguments["model_version"] / file
    if not artifact.exists():
        raise PackError(f"model {name!r}: {artifact} is missing; assemble the repository again")
    return BackendConfig(
        name=name,
        max_batch_size=int(config["max_batch_size"]),
        inputs=tuple(_tensor(tensor) for tensor in config["input"]),
        outputs=tuple(_tensor(tensor) for tensor in config["output"]),
        parameters={key: value["string_value"] for key, value in config.get("parameters", {}).items()},
        graph_level=int((config.get("optimization") or {}).get("graph", {}).get("level", 0)),
        artifact=artifact,
        gpu=int(arguments["model_instance_device_id"]) if kind == "GPU" else None,
        cuda_options=_cuda_options(config),
        instances=sum(int(group.get("count", 1)) for group in config.get("instance_group", ())) or 1,
    )


def _cuda_options(config: dict[str, Any]) -> dict[str, str]:
    accelerators = (config.get("optimization") or {}).get("execution_accelerators") or {}
    for accelerator in accelerators.get("gpu_execution_accelerator", ()):
        if accelerator["name"] == CUDA_ACCELERATOR:
            return dict(accelerator.get("parameters", {}))
    return {}


def _tensor(record: dict[str, Any]) -> TensorConfig:
    return TensorConfig(
        name=record["name"],
        data_type=record["data_type"],
        dims=tuple(int(size) for size in record["dims"]),
        ragged=bool(record.get("allow_ragged_batch", False)),
    )
