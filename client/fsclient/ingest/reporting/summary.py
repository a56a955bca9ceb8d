"""What an ingest did."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fsclient.photos.finding.tally import Tally
from fsdata.results.schema import FACES
from fsdata.results.status import SCORED, Status
from fsengine.contracts.served import ServedEnsemble

if TYPE_CHECKING:
    import pyarrow as pa

MOST_FAILURES = 5
"""Photos that are named because they could not be scored; the results hold all."""


@dataclass(slots=True, kw_only=True)
class IngestSummary:
    """What a run did.

    Attributes:
        served: What served it; None where nothing was left to do.
        num_inputs: Files of the sources that are rows, or are to be.
        num_done_before: Of these, done by earlier runs.
        statuses: Photos of this run by status.
        num_faces: Faces of this run.
        num_truncated: Photos of this run with more faces than the pack's limit.
        seconds: Time from the first request to the last row.
        interrupted: Whether the user stopped it.
        unfinished: Source and reason of photos that the server could not be had for.
        earlier_statuses: Photos of earlier runs by status.
        failures: Source, status and reason of the first photos of this run that could not be scored.
        tally: What the search of the sources left out, and whether it came to its end.
        num_kept: Photos with another time of change and the same content, whose rows were kept.
        num_changed: Photos that were changed since an earlier run and are scored again.
        num_gone: Photos of the results that lay in the sources' folders and are gone.
        refreshed: What was brought to the served models, in words; None where that was not asked for.
        has_limit: Whether no more than some of the photos were asked for.
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
    failures: list[tuple[str, Status, str]] = field(default_factory=list)
    tally: Tally = field(default_factory=lambda: Tally(is_complete=True))
    num_kept: int = 0
    num_changed: int = 0
    num_gone: int = 0
    refreshed: str | None = None
    has_limit: bool = False

    def count(self, rows: pa.Table) -> None:
        """Count rows that were written, a table of a part's schema."""
        columns = (rows[name].to_pylist() for name in ("source", "status", "reason", "faces_truncated"))
        for source, text, reason, truncated in zip(*columns, strict=True):
            status = Status(text)
            self.statuses[status] += 1
            self.num_truncated += truncated
            if status not in SCORED and len(self.failures) < MOST_FAILURES:
                self.failures.append((source, status, reason or ""))
        self.num_faces += sum(len(chunk.flatten()) for chunk in rows[FACES].chunks)

    @property
    def num_rows(self) -> int:
        """Return the rows that this run wrote."""
        return self.statuses.total()

    @property
    def is_searched(self) -> bool:
        """Return whether the sources were searched to their end, or as far as was asked for."""
        return self.has_limit or self.tally.is_complete

    @property
    def skipped_files(self) -> collections.Counter[str]:
        """Return the files of the sources that are no photos, by kind; with `num_inputs` they are all files."""
        return +self.tally.skipped_files

    @property
    def skipped_folders(self) -> collections.Counter[str]:
        """Return the folders of the sources that were skipped with all in them, by name or kind."""
        return +self.tally.skipped_folders

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """Return source and reason of the first places that could not be searched for photos."""
        return self.tally.unreadable

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
        """Return 130 after Ctrl-C, 4 with unfinished photos, 3 with failed ones or unreadable folders, else 0."""
        if self.interrupted:
            return 130
        if self.num_left or not self.is_searched:
            return 4
        return 3 if self.tally.num_unreadable or set(self.all_statuses) - SCORED else 0
