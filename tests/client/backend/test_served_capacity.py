from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from fsclient.backend.served_capacity import ServedCapacity, combined, served_capacity
from fsclient.backend.triton import TritonBackend
from fsengine.contracts import steps
from fsengine.repository.assemble import read_canonical
from fsengine.repository.queue_limits import GPU_FACTOR, limit_queue
from fsengine.server.embedded import EmbeddedServer

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

STEPS = (steps.DECODE, steps.DETECT, steps.ALIGN, steps.EMBED)


def configs(
    *, on_gpu: bool = False, batch: int = 16, instances: int = 1, inflight: int = 0, queues: bool = True
) -> tuple[pb.ModelConfig, dict[str, pb.ModelConfig]]:
    """Return the ensemble and its steps as a server would have them."""
    canonical = read_canonical()
    ensemble = canonical[steps.ENSEMBLE]
    ensemble.ensemble_scheduling.max_inflight_requests = inflight
    found = {name: canonical[name] for name in STEPS}
    for config in found.values():
        if queues:
            limit_queue(config, on_gpu=on_gpu)
        else:
            config.dynamic_batching.default_queue_policy.max_queue_size = 0
    decode = found[steps.DECODE]
    decode.max_batch_size = batch
    (group,) = decode.instance_group
    group.count, group.kind = instances, group.KIND_GPU if on_gpu else group.KIND_CPU
    return ensemble, found


def in_flight(**settings: int | bool) -> int:
    return served_capacity(*configs(**settings), isolates=True).photos_in_flight  # type: ignore[arg-type]


def test_the_embedded_server_gets_the_8_that_are_best_on_a_cpu(lite_server: EmbeddedServer) -> None:
    async def asked() -> ServedCapacity:
        backend = TritonBackend(lite_server.url)
        try:
            await backend.served()
            return backend.capacity
        finally:
            await backend.close()

    assert asyncio.run(asked()) == ServedCapacity(photos_in_flight=8, large_alone=False)


@pytest.mark.parametrize(
    ("settings", "photos"),
    [
        ({}, 8),
        ({"instances": 4}, 8),
        ({"on_gpu": True, "batch": 16}, 32),
        ({"on_gpu": True, "batch": 1}, 8),
        ({"on_gpu": True, "batch": 64, "instances": 3}, 8 * GPU_FACTOR),
        ({"on_gpu": True, "batch": 64, "instances": 3, "queues": False}, 384),
        ({"on_gpu": True, "batch": 64, "instances": 3, "inflight": 46}, 46),
        ({"on_gpu": True, "batch": 64, "instances": 3, "inflight": 6}, 6),
    ],
)
def test_two_batches_for_each_instance_within_what_no_step_refuses(settings: dict[str, int], photos: int) -> None:
    assert in_flight(**settings) == photos


def test_instances_count_on_each_gpu_of_their_group() -> None:
    ensemble, found = configs(on_gpu=True, queues=False)
    found[steps.DECODE].instance_group[0].gpus.extend([0, 1, 2])
    assert served_capacity(ensemble, found, isolates=True).photos_in_flight == 96


@pytest.mark.parametrize(
    ("settings", "isolates", "alone"),
    [
        ({}, True, False),
        ({"batch": 64}, True, True),
        ({"on_gpu": True}, True, True),
        ({"on_gpu": True}, False, False),
        ({"on_gpu": True, "batch": 1}, True, False),
    ],
)
def test_large_photos_go_alone_where_a_gpu_decodes_several_at_once(
    settings: dict[str, int], isolates: bool, alone: bool
) -> None:
    assert served_capacity(*configs(**settings), isolates=isolates).large_alone is alone  # type: ignore[arg-type]


def test_servers_that_are_asked_in_turn_take_what_all_of_them_do() -> None:
    one = ServedCapacity(photos_in_flight=8, large_alone=True)
    other = ServedCapacity(photos_in_flight=32, large_alone=True)
    assert combined([one, other]) == ServedCapacity(photos_in_flight=40, large_alone=True)
    assert combined([one, ServedCapacity()]).large_alone is False
    assert combined([]) == ServedCapacity()
