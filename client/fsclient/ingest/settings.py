"""What an ingest does and how."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from fsclient.backend.server_retries import RetryPolicy
from fsclient.photos.source_rules import SourceRules
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError

PathLike = Union[str, "os.PathLike[str]"]

DEFAULT_PART_SIZE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """What to ingest and how.

    Attributes:
        sources: Files, folders and patterns; with `refresh` there may be none.
        out: Folder of the parts.
        concurrency: Photos in flight; None for as many as the server says that it can take.
        processes: Processes that read and ask; None for as many as the server and this machine can use.
        part_size: Photos of one part.
        part_s: Seconds after which a part is written though it is not full.
        retry_statuses: Statuses of earlier runs whose photos are done again.
        retry: What to do when the server is not to be had.
        refresh: Whether results of other models are brought to the served ones first.
        embedding: Whether embeddings are asked for and stored.
        rules: Which of the files that are found in the sources are taken.
        listed: Further files and folders, of a list.
    """

    sources: tuple[str, ...]
    out: Path
    concurrency: int | None = None
    processes: int | None = None
    part_size: int = DEFAULT_PART_SIZE
    part_s: float = 60.0
    retry_statuses: frozenset[Status] = frozenset()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    refresh: bool = False
    embedding: bool = True
    rules: SourceRules = field(default_factory=SourceRules)
    listed: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        numbers = {"part_size": self.part_size}
        for name in ("concurrency", "processes"):
            if (number := getattr(self, name)) is not None:
                numbers[name] = number
        for name, number in numbers.items():
            if not isinstance(number, int) or number < 1:
                raise InvalidInputError(f"{name} is {number!r}, expected a whole number, 1 or more")
        if not self.part_s > 0:
            raise InvalidInputError(f"part_s is {self.part_s}, expected seconds above 0")


def ingest_config(
    sources: PathLike | Iterable[PathLike],
    out: PathLike,
    *,
    concurrency: int | None,
    processes: int | None,
    part_size: int,
    retry_statuses: Iterable[Status],
    refresh: bool,
    embedding: bool,
    rules: SourceRules,
    listed: Iterable[PathLike] = (),
) -> IngestConfig:
    """Return the arguments of `ingest` as a configuration."""
    given: Iterable[PathLike] = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    return IngestConfig(
        sources=tuple(os.fspath(source) for source in given),
        out=Path(out),
        concurrency=concurrency,
        processes=processes,
        part_size=part_size,
        retry_statuses=_statuses(retry_statuses),
        refresh=refresh,
        embedding=bool(embedding),
        rules=rules,
        listed=tuple(map(os.fsencode, listed)),
    )


def _statuses(given: Iterable[Status]) -> frozenset[Status]:
    known = ", ".join(status.value for status in Status)
    if isinstance(given, str):
        raise InvalidInputError(f"retry_statuses is {given!r}, expected a list of statuses: {known}")
    try:
        return frozenset(map(Status, given))
    except ValueError as exc:
        raise InvalidInputError(f"{exc}; expected some of {known}") from exc
