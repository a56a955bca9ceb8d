"""How much a server can take, from the configuration that it serves.

Photos in flight: two batches for every instance of decode, one that is worked on and one that is ready; 8 at least.
Never more than the shortest queue of any step, so that none is refused even where all wait at one step, and never more
than the ensemble lets into one step (`max_inflight_requests`): what waits there holds a thread of the server. On a CPU
the queues bound it, to 8, which was measured to be the best there (docs/background/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsengine.contracts.steps import DECODE, DECODE_BATCH_LIMIT

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

LEAST_IN_FLIGHT = 8
_BATCHES_PER_INSTANCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCapacity:
    """How much a server can take.

    Attributes:
        photos_in_flight: Photos that keep it busy and that it refuses none of.
        large_alone: Whether photos with more than `fsengine.contracts.steps.LARGE_PHOTO_PIXELS` are to be decoded
            alone, since the memory of its decode batches is not made for them.
    """

    photos_in_flight: int = LEAST_IN_FLIGHT
    large_alone: bool = False


def served_capacity(ensemble: pb.ModelConfig, steps: Mapping[str, pb.ModelConfig], *, isolates: bool) -> ServedCapacity:
    """Return what a server can take.

    Args:
        ensemble: The configuration of the ensemble.
        steps: The name of each of its steps to its configuration.
        isolates: Whether the server can decode a photo alone.
    """
    decode = steps[DECODE]
    wanted = _BATCHES_PER_INSTANCE * max(decode.max_batch_size, 1) * num_instances(decode)
    queues = (config.dynamic_batching.default_queue_policy.max_queue_size for config in steps.values())
    # Protobuf messages of earlier versions of tritonclient lack the field.
    at_each_step = getattr(ensemble.ensemble_scheduling, "max_inflight_requests", 0)
    limits = [limit for limit in (*queues, at_each_step) if limit]
    return ServedCapacity(
        photos_in_flight=min([max(wanted, LEAST_IN_FLIGHT), *limits]),
        large_alone=isolates and _merges_large_batches(decode),
    )


def combined(capacities: Iterable[ServedCapacity]) -> ServedCapacity:
    """Return what several servers that are asked in turn can take together."""
    found = list(capacities)
    return ServedCapacity(
        photos_in_flight=sum(one.photos_in_flight for one in found) or LEAST_IN_FLIGHT,
        large_alone=bool(found) and all(one.large_alone for one in found),
    )


def num_instances(config: pb.ModelConfig) -> int:
    """Return how many instances of a model run at once; a group has its count on each of its GPUs."""
    return sum(group.count * max(len(group.gpus), 1) for group in config.instance_group)


def _merges_large_batches(decode: pb.ModelConfig) -> bool:
    """Return whether the decode step puts photos together whose pixels may not fit: on a GPU, or very many."""
    on_gpu = any(group.kind == group.KIND_GPU for group in decode.instance_group)
    return bool(decode.max_batch_size > (1 if on_gpu else DECODE_BATCH_LIMIT))
