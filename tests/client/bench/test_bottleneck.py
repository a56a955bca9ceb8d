"""What `bench` reads from a server's counters."""

from __future__ import annotations

import pytest

from counting_backend import INSTANCES, statistics
from fsclient.backend.statistics import ModelStatistics
from fsclient.bench.bottleneck import Stage, bound_by, foreign_requests, since, stages_of


def test_a_stage_has_times_per_request_and_is_busy_per_execution() -> None:
    counted = since({"detect": statistics(10)}, {"detect": statistics(110)})
    assert counted is not None
    (stage,) = stages_of(counted, {"detect": 2}, seconds=500e-6)
    assert (stage.name, stage.counted.requests, stage.counted.executions) == ("detect", 100, 50)
    assert (stage.compute_us, stage.queue_us, stage.batch_size) == (10.0, 2.0, 6.0)
    # 50 executions of 10 us, on two instances, in 500 us.
    assert stage.busy_share == pytest.approx(0.5)


def test_a_stage_without_requests_has_no_time() -> None:
    stage = Stage(name="detect", instances=1, counted=statistics(0), seconds=1.0)
    assert (stage.compute_us, stage.queue_us, stage.batch_size, stage.busy_share) == (0, 0, 0, 0)


@pytest.mark.parametrize("now", [{"detect": statistics(8)}, {}])
def test_counters_that_fell_or_went_are_no_difference(now: dict[str, ModelStatistics]) -> None:
    assert since({"detect": statistics(10)}, now) is None


def stage(name: str, busy_share: float) -> Stage:
    return Stage(name=name, instances=1, counted=statistics(2, busy_ns=round(busy_share * 1e9)), seconds=1.0)


@pytest.mark.parametrize(
    ("busy", "server_share", "client_share", "expected"),
    [
        ((0.2, 0.9), 0.9, 0.5, "detect"),
        ((0.95, 0.9), 0.9, 0.5, "decode"),
        ((0.2, 0.9), 0.3, 0.99, "detect"),
        ((0.2, 0.5), 0.9, 0.5, "concurrency"),
        ((0.2, 0.5), 0.3, 0.5, "client"),
        ((0.2, 0.5), 0.9, 0.95, "client"),
    ],
)
def test_the_busiest_stage_bounds_the_speed_where_it_hardly_rests(
    busy: tuple[float, float], server_share: float, client_share: float, expected: str
) -> None:
    stages = [stage(name, share) for name, share in zip(INSTANCES, busy, strict=True)]
    assert bound_by(stages, server_share, client_share) == expected


@pytest.mark.parametrize(
    ("facestats", "decode", "detect", "expected"),
    [(8, 10, 8, 0), (11, 13, 11, 3), (8, 12, 8, 2), (8, 10, 17, 7), (7, 9, 7, 0)],
)
def test_more_requests_than_were_sent_are_somebody_elses(
    facestats: int, decode: int, detect: int, expected: int
) -> None:
    counted = {
        "facestats": statistics(facestats),
        "decode": statistics(decode),
        "detect": statistics(detect),
    }
    assert foreign_requests(counted, INSTANCES, sent=10, refused=2) == expected
