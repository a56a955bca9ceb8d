"""What a Triton server counts of its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """Counters of one model on a Triton server, since its start or over a while.

    Attributes:
        requests: Requests answered.
        rows: Photos or faces in them.
        executions: Batches that its instances ran.
        request_ns: From arrival to answer, summed over requests.
        queue_ns: Waiting for an instance, summed over requests.
        compute_ns: Inside an instance, summed over requests: a batch counts for each request in it.
        busy_ns: Inside an instance, summed over executions: a batch counts once.
    """

    requests: int
    rows: int
    executions: int
    request_ns: int
    queue_ns: int
    compute_ns: int
    busy_ns: int

    def minus(self, earlier: ModelStatistics) -> ModelStatistics:
        """Return what was counted since an earlier reading."""
        return ModelStatistics(**{f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)})


Statistics = Mapping[str, ModelStatistics]
"""Model to its counters."""
