"""What was measured with one number of photos in flight."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fsclient.bench.bottleneck import Stage
from fsclient.bench.workload import Failure

PERCENTILES = (50, 90, 95, 99)


@dataclass(slots=True, kw_only=True)
class Traffic:
    """Photos that were sent and what became of them.

    Attributes:
        requests: Photos sent, each counted as often as it was.
        refused: Of these, refused at first, or not asked for together with others; a server that can decodes such a
            photo alone, see `score_once`.
        unanswered: Of these, those that the server had no room for or did not answer in time.
        latencies_ms: From request to answer, of those answered.
        num_faces: In the answers.
        failures: Source of a photo to its first failure.
    """

    requests: int = 0
    refused: int = 0
    unanswered: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    num_faces: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Return the requests that were answered."""
        return len(self.latencies_ms)

    @property
    def answered_at_first(self) -> int:
        """Return the requests that were answered without the photo being decoded alone."""
        return self.requests - self.refused - self.unanswered

    @property
    def answered_alone(self) -> int:
        """Return the requests that were answered once the photo was decoded alone."""
        return self.answered - self.answered_at_first

    @property
    def failed(self) -> int:
        """Return the requests that were not answered."""
        return self.requests - self.answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What was measured with one number of photos in flight.

    Attributes:
        concurrency: Photos in flight.
        rounds: How often each photo was sent.
        seconds: From the first request to the last answer.
        traffic: The requests.
        failures: Source to its first failure, of photos of which any request failed and of those that their header
            refused.
        stages: The steps of the ensemble in its order; none where the server's statistics are unavailable.
        bound_by: See `fsclient.bench.bottleneck.bound_by`; None without stages or without answers.
        client_busy_share: Time of the processor that this process took, by the level's time.
        notes: What a reader must know of these numbers.
    """

    concurrency: int
    rounds: int
    seconds: float
    traffic: Traffic
    failures: Mapping[str, Failure]
    stages: list[Stage]
    bound_by: str | None
    client_busy_share: float
    notes: tuple[str, ...]

    @property
    def photos_per_second(self) -> float:
        """Return the photos answered in a second."""
        return self.traffic.answered / self.seconds

    @property
    def faces_per_second(self) -> float:
        """Return the faces in the answers of a second."""
        return self.traffic.num_faces / self.seconds

    @property
    def failure_reasons(self) -> collections.Counter[str]:
        """Return the photos that failed by reason."""
        return collections.Counter(failure.reason for failure in self.failures.values())


def latency_percentiles(latencies_ms: Sequence[float]) -> dict[str, float] | None:
    """Return `p50`, `p90`, `p95`, `p99` and `max`, each a latency that was measured; None without any."""
    if not latencies_ms:
        return None
    values = np.percentile(latencies_ms, PERCENTILES, method="inverted_cdf")
    named = {f"p{percent}": float(value) for percent, value in zip(PERCENTILES, values, strict=True)}
    return named | {"max": max(latencies_ms)}
