"""What an ingest does and how."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Union

from fsclient.backend.server_retries import RetryPolicy
from fsclient.photos.source_rules import SourceRules
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError
from fsengine.files.stores.store_path import AnyPath, StorePath, any_path

PathLike = Union[str, "os.PathLike[str]"]
ResultsPlace = Union[str, "os.PathLike[str]", StorePath]
"""A folder of results: a path, or the URL of one in a store."""

DEFAULT_PART_SIZE = 1000


class Runner(str, Enum):
    """Where photos are read and sent from: this machine, or the nodes of a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """What to ingest and how.

    Attributes:
        sources: Files, folders, patterns and URLs; with `refresh` there may be none.
        out: Folder of the parts, here or in a store.
        concurrency: Photos in flight; None for as many as the server says that it can take.
        processes: Processes that read and ask, or workers of a Ray cluster; None for as many as the server and this
            machine can use, or one for each node.
        part_size: Photos of one part.
        part_s: Seconds after which a part is written though it is not full.
        retry_statuses: Statuses of earlier runs whose photos are done again.
        retry: What to do when the server is not to be had.
        refresh: Whether results of other models are brought to the served ones first.
        embedding: Whether embeddings are asked for and stored.
        rules: Which of the files that are found in the sources are taken.
        runner: Where photos are read and sent from.
        ray_address: Of the Ray cluster; None for what RAY_ADDRESS says, or a cluster of this machine alone.
        listed: Further files, folders and URLs, of a list that is read as they are taken; None for no list.
    """

    sources: tuple[str, ...]
    out: AnyPath
    concurrency: int | None = None
    processes: int | None = None
    part_size: int = DEFAULT_PART_SIZE
    part_s: float = 60.0
    retry_statuses: frozenset[Status] = frozenset()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    refresh: bool = False
    embedding: bool = True
    rules: SourceRules = field(default_factory=SourceRules)
    runner: Runner = Runner.LOCAL
    ray_address: str | None = None
    listed: Iterable[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Return the folder of the parts.

        Raises:
            InvalidInputError: It lies in a store.
        """
        if isinstance(self.out, StorePath):
            raise InvalidInputError(f"{self.out} lies in a store; expected a folder on a disk")
        return self.out

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
        if self.ray_address is not None and self.runner is not Runner.RAY:
            raise InvalidInputError(f"the address {self.ray_address} is of a Ray cluster; expected the runner ray too")
        if self.refresh and self.runner is Runner.RAY:
            raise InvalidInputError("a refresh runs on one machine: leave the runner ray out")
        if self.refresh and isinstance(self.out, StorePath):
            raise InvalidInputError(
                f"--refresh replaces parts, and {self.out} lies in a store, where nothing is renamed: copy the folder "
                "to a disk, refresh it there, and copy it back under another name"
            )


def ingest_config(
    sources: PathLike | Iterable[PathLike],
    out: ResultsPlace,
    *,
    concurrency: int | None,
    processes: int | None,
    part_size: int,
    retry_statuses: Iterable[Status],
    refresh: bool,
    embedding: bool,
    rules: SourceRules,
    runner: Runner | str = Runner.LOCAL,
    ray_address: str | None = None,
    listed: Iterable[PathLike] | None = None,
) -> IngestConfig:
    """Return the arguments of `ingest` as a configuration."""
    given: Iterable[PathLike] = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    return IngestConfig(
        sources=tuple(os.fspath(source) for source in given),
        out=out if isinstance(out, StorePath) else any_path(os.fspath(out)),
        concurrency=concurrency,
        processes=processes,
        part_size=part_size,
        retry_statuses=_statuses(retry_statuses),
        refresh=refresh,
        embedding=bool(embedding),
        rules=rules,
        runner=_runner(runner),
        ray_address=ray_address,
        listed=None if listed is None else map(os.fsencode, listed),
    )


def _runner(given: Runner | str) -> Runner:
    try:
        return Runner(given)
    except ValueError as exc:
        raise InvalidInputError(f"runner is {given!r}, expected {' or '.join(one.value for one in Runner)}") from exc


def _statuses(given: Iterable[Status]) -> frozenset[Status]:
    known = ", ".join(status.value for status in Status)
    if isinstance(given, str):
        raise InvalidInputError(f"retry_statuses is {given!r}, expected a list of statuses: {known}")
    try:
        return frozenset(map(Status, given))
    except ValueError as exc:
        raise InvalidInputError(f"{exc}; expected some of {known}") from exc
