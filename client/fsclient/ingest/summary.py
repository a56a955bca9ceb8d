"""What an ingest did."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field

from fsdata.results.status import SCORED, Status
from fsengine.contracts.served import ServedEnsemble


@dataclass(slots=True, kw_only=True)
class IngestSummary:
    """What a run did.

    Attributes:
        served: What served it; None where nothing was left to do.
        num_inputs: Photos that the sources name.
        num_done_before: Of these, done by earlier runs.
        statuses: Photos of this run by status.
        num_faces: Faces of this run.
        num_truncated: Photos of this run with more faces than the pack's limit.
        seconds: Time from the first request to the last row.
        interrupted: Whether the user stopped it.
        unfinished: Source and reason of photos that the server could not be had for.
        earlier_statuses: Photos of earlier runs by status.
        refreshed: What was brought to the served models, in words; None where that was not asked for.
    """

    served: ServedEnsemble | None
    num_inputs: int
    num_done_before: int = 0
    statuses: collections.Counter[Status] = field(default_factory=collections.Counter)
    num_faces: int = 0
    num_truncated: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    unfinished: list[tuple[str, str]] = field(default_factory=list)
    earlier_statuses: collections.Counter[Status] = field(default_factory=collections.Counter)
    refreshed: str | None = None

    @property
    def num_rows(self) -> int:
        """Return the rows that this run wrote."""
        return self.statuses.total()

    @property
    def num_left(self) -> int:
        """Return the photos that have no row yet."""
        return self.num_inputs - self.num_done_before - self.num_rows

    @property
    def all_statuses(self) -> collections.Counter[Status]:
        """Return the inputs by status, earlier runs included."""
        return self.earlier_statuses + self.statuses

    @property
    def exit_code(self) -> int:
        """Return 130 after Ctrl-C, 4 with unfinished photos, 3 with failed ones, else 0."""
        if self.interrupted:
            return 130
        if self.num_left:
            return 4
        return 0 if not set(self.all_statuses) - SCORED else 3
