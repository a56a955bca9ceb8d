"""What the configuration of a step, or of an ensemble, says on a GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fsengine.contracts import steps
from fsengine.gpu import Gpu
from fsengine.plans.gpu_defaults import gpu_defaults, photos_in_flight
from fsengine.plans.profile import batch_buckets
from fsengine.repository.gpu_config import CUDA_PARAMETERS

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

GATHERED_BUFFERS = 8
"""From so many requests in an execution on, one kernel copies their inputs together, instead of a copy for each."""

QUEUE_DELAY_US = {steps.DETECT: 1000, steps.EMBED: 1000}
"""How long these wait for a fuller batch; at 4,000 photos a second four more come in that time."""

LONE_INSTANCES = 4
"""Of a detector that sees photos one by one."""

_CONVOLUTION = b"Conv"

_LEAST_DECODE_THREADS, _MOST_DECODE_THREADS = 2, 16

_DATA_DEPENDENT = (b"NonMaxSuppression", b"NonZero")
"""Operators whose result has as many rows as the data say; a graph holds the name of each operator as it is."""


def has_static_shapes(graph: Path) -> bool:
    """Return whether no shape inside a graph depends on data; TensorRT waits for the GPU where one does: no capture."""
    text = graph.read_bytes()
    return not any(name in text for name in _DATA_DEPENDENT)


def tune(config: pb.ModelConfig, gpu: Gpu, num_gpus: int) -> None:
    """Give a step its instances and batches, or an ensemble its limit, by `fsengine.plans.gpu_defaults`.

    Args:
        config: Of a repository that was assembled for a GPU; adapted in place.
        gpu: Which is served on.
        num_gpus: So many of that kind; an instance group stands for each of them.
    """
    main, other = photos_in_flight(gpu.memory_mib, num_gpus)
    if config.name in steps.ENSEMBLES:
        if config.ensemble_scheduling.max_inflight_requests:  # the pip package's Triton knows no such field
            config.ensemble_scheduling.max_inflight_requests = main if config.name == steps.ENSEMBLE else other
        return
    defaults = gpu_defaults(gpu.memory_mib)
    if config.max_batch_size > 1:
        config.max_batch_size = defaults.batch(config.name, config.max_batch_size)
    for group in config.instance_group:
        group.count = defaults.instances(config.name)
    if "num_threads" in config.parameters:
        threads = max(_LEAST_DECODE_THREADS, min(_MOST_DECODE_THREADS, len(os.sched_getaffinity(0)) // 2))
        config.parameters["num_threads"].string_value = str(threads)
    policy = config.dynamic_batching.default_queue_policy
    if policy.max_queue_size:
        # What an ensemble lets in, a step of it must not refuse; before the first step callers wait as well.
        waiting = main + other * (len(steps.ENSEMBLES) - 1)
        policy.max_queue_size = max(policy.max_queue_size, waiting * (2 if config.name == steps.DECODE else 1))
    if config.name in QUEUE_DELAY_US:
        config.dynamic_batching.max_queue_delay_microseconds = QUEUE_DELAY_US[config.name]
    if config.max_batch_size and not config.backend:
        config.optimization.gather_kernel_buffer_threshold = GATHERED_BUFFERS
        config.optimization.eager_batching = True


def hold_shape(config: pb.ModelConfig, graph: Path) -> None:
    """Have a graph that finds faces in ONNX Runtime see photos one by one, where it holds convolutions.

    From 1.20 on ONNX Runtime plans each convolution anew whenever the shape is another than before, 0.3 s for a
    detector on an H200 (microsoft/onnxruntime, 23006): batches that vary cost more than batching saves.

    Args:
        config: Of a step without a plan, adapted in place.
        graph: Its ONNX file.
    """
    if config.name == steps.DETECT and _CONVOLUTION in graph.read_bytes():
        config.max_batch_size = 1
        config.dynamic_batching.max_queue_delay_microseconds = 0
        config.instance_group[0].count = LONE_INSTANCES
        alone = [request for request in config.model_warmup if request.batch_size == 1]
        del config.model_warmup[:]
        config.model_warmup.extend(alone)


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
    config.optimization.cuda.output_copy_stream = True
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
