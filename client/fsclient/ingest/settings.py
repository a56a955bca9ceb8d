"""What an ingest does and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fsclient.backend.server_retries import RetryPolicy
from fsclient.photos.source_rules import SourceRules
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError

DEFAULT_CONCURRENCY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """What to ingest and how.

    Attributes:
        sources: Files, folders and patterns; with `refresh` there may be none.
        out: Folder of the parts.
        concurrency: Photos in flight; None for 8, or fewer where the server has no room for them.
        part_size: Photos of one part.
        part_s: Seconds after which a part is written though it is not full.
        retry_statuses: Statuses of earlier runs whose photos are done again.
        retry: What to do when the server is not to be had.
        refresh: Whether results of other models are brought to the served ones first.
        rules: Which of the files that are found in the sources are taken.
    """

    sources: tuple[str, ...]
    out: Path
    concurrency: int | None = None
    part_size: int = 1000
    part_s: float = 60.0
    retry_statuses: frozenset[Status] = frozenset()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    refresh: bool = False
    rules: SourceRules = field(default_factory=SourceRules)

    def __post_init__(self) -> None:
        if (self.concurrency is not None and self.concurrency < 1) or self.part_size < 1 or self.part_s <= 0:
            raise InvalidInputError(
                f"concurrency ({self.concurrency}), part_size ({self.part_size}) and part_s ({self.part_s}) "
                "must be above 0"
            )
