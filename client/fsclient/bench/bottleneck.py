"""What a server counted while photos ran through it, stage by stage, and what bounds its speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from fsclient.backend.statistics import ModelStatistics, Statistics
from fsengine.contracts.steps import DECODE_ISOLATED, ENSEMBLE

BUSY_SHARE = 0.7
"""A stage whose instances are busy for this share of the time bounds the rest: what waits is little else."""

OUTSIDE_SHARE = 0.5
"""Where less of a photo's latency than this passes inside the server, the client or the network bounds."""

CLIENT_BUSY_SHARE = 0.9
"""A client that takes this much of a core can hardly ask for more: nearly all of its work is done on one."""

BY_CONCURRENCY = "concurrency"
BY_CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A step of the ensemble over a while.

    Attributes:
        name: The step.
        instances: Copies of its model that run at the same time.
        counted: What the server counted.
        seconds: How long that was.
    """

    name: str
    instances: int
    counted: ModelStatistics
    seconds: float

    @property
    def compute_us(self) -> float:
        """Return the microseconds of a request inside an instance, those of its batch; a mean."""
        return self.counted.compute_ns / 1e3 / max(self.counted.requests, 1)

    @property
    def queue_us(self) -> float:
        """Return the microseconds that a request waits for an instance; a mean."""
        return self.counted.queue_ns / 1e3 / max(self.counted.requests, 1)

    @property
    def batch_size(self) -> float:
        """Return the photos, or faces, of an execution; a mean."""
        return self.counted.rows / max(self.counted.executions, 1)

    @property
    def busy_share(self) -> float:
        """Return the share of the time that its instances work, 0 to 1; above 1 where a backend overlaps batches."""
        return self.counted.busy_ns / 1e9 / (self.seconds * self.instances)


def since(earlier: Statistics, now: Statistics) -> Statistics | None:
    """Return what was counted between two readings, or None where the server began to count anew."""
    if not earlier.keys() <= now.keys():
        return None
    counted = {name: now[name].minus(earlier[name]) for name in earlier}
    if any(getattr(model, item.name) < 0 for model in counted.values() for item in fields(model)):
        return None
    return counted


def stages_of(counted: Statistics, instances: Mapping[str, int], seconds: float) -> list[Stage]:
    """Return the steps of the ensemble with what was counted of them; decoding alone is one where it was used.

    Args:
        counted: Over the time in question.
        instances: Step to the instances of its model, in the order of the ensemble.
        seconds: How long that was.
    """
    return [
        Stage(name=name, instances=number, counted=counted[name], seconds=seconds)
        for name, number in instances.items()
        if name != DECODE_ISOLATED or counted[name].requests
    ]


def foreign_requests(counted: Statistics, instances: Mapping[str, int], *, sent: int, refused: int) -> int:
    """Return the requests, at least, that somebody else made.

    Args:
        counted: While these were sent.
        instances: The steps, as for `stages_of`.
        sent: Requests of ours.
        refused: Of these, refused, which the ensemble does not count as answered.
    """
    return max(0, counted[ENSEMBLE].requests - (sent - refused), *(counted[name].requests - sent for name in instances))


def bound_by(stages: list[Stage], server_share: float, client_busy_share: float) -> str:
    """Return what bounds the speed: a stage, `client` or `concurrency`.

    A stage bounds it where it is the busiest and works nearly all the time. Where none does, the client is busy itself
    or photos spend their time outside the server, or too few are in flight to keep a stage busy.

    Args:
        stages: At least one.
        server_share: Share of a photo's latency that passes inside the server, 0 to 1.
        client_busy_share: Time of the processor that the client took, by the time that passed.
    """
    busiest = max(stages, key=lambda stage: stage.busy_share)
    if busiest.busy_share >= BUSY_SHARE:
        return busiest.name
    if client_busy_share >= CLIENT_BUSY_SHARE or server_share < OUTSIDE_SHARE:
        return BY_CLIENT
    return BY_CONCURRENCY
