"""What a step's configuration says where a plan serves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsengine.contracts import steps
from fsengine.contracts.served import ServedModels
from fsengine.plans.layout import GpuLayout
from fsengine.plans.profile import batch_buckets
from fsengine.repository.gpu_config import CUDA_PARAMETERS
from fsengine.repository.model_config import CONFIG_FILE, read_config

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

_DATA_DEPENDENT = (b"NonMaxSuppression", b"NonZero")
"""Operators whose result has as many rows as the data say; a graph holds the name of each operator as it is."""


def has_static_shapes(graph: Path) -> bool:
    """Return whether no shape inside a graph depends on data; TensorRT waits for the GPU where one does: no capture."""
    text = graph.read_bytes()
    return not any(name in text for name in _DATA_DEPENDENT)


def adapt_to_plan(config: pb.ModelConfig, *, static: bool) -> None:
    """Take ONNX Runtime's settings out of a configuration, and have CUDA graphs captured where shapes are static.

    A graph is captured for each batch size of `batch_buckets`; an execution with fewer rows is padded to the next,
    so that no other shape is ever run.

    Args:
        config: Adapted in place.
        static: See `has_static_shapes`.
    """
    config.optimization.ClearField("execution_accelerators")
    config.optimization.ClearField("graph")
    for name in CUDA_PARAMETERS:
        config.parameters.pop(name, None)
    if not (config.max_batch_size and static):
        return
    cuda = config.optimization.cuda
    cuda.graphs = True
    lower = 1
    for bucket in batch_buckets(config.max_batch_size):
        spec = cuda.graph_spec.add(batch_size=bucket)
        spec.graph_lower_bound.batch_size = lower
        for tensor in config.input:
            spec.input[tensor.name].dim.extend(tensor.dims)
            spec.graph_lower_bound.input[tensor.name].dim.extend(tensor.dims)
        lower = bucket + 1


def apply_layout(config: pb.ModelConfig, layout: GpuLayout) -> None:
    """Write a layout into the configuration of a step, or of an ensemble."""
    if config.name in steps.ENSEMBLES:
        if config.ensemble_scheduling.max_inflight_requests:  # the pip package's Triton knows no such field
            config.ensemble_scheduling.max_inflight_requests = layout.photos_per_step
        return
    (step,) = (step for step in layout.steps if step.name == config.name)
    config.max_batch_size = step.max_batch_size
    if "num_threads" in config.parameters:
        config.parameters["num_threads"].string_value = str(layout.decode_threads)
    for group in config.instance_group:
        group.count = step.instances


def precision_of(repository: Path, step: str) -> str:
    """Return the precision of a step's graph, as the ensemble states it."""
    parameters = read_config(repository / steps.ENSEMBLE / CONFIG_FILE).parameters
    served = ServedModels.from_parameters({name: value.string_value for name, value in parameters.items()})
    # step-hash-precision
    return served.models[step].split("-", 2)[2]
