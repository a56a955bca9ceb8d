"""Scenarios of faults, drawn: where photos come from, where rows go, who reads, and what breaks when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum


class Source(str, Enum):
    """Where the photos lie."""

    FOLDER = "folder"
    PREFIX = "prefix of a store"
    SHARDS = "tar shards in a store"


class Target(str, Enum):
    """Where the results go."""

    FOLDER = "folder"
    TMPFS = "tmpfs"
    STORE = "store"


class Readers(str, Enum):
    """Who reads photos and asks the server."""

    ONE = "one process"
    TWO = "two processes"
    RAY = "a Ray cluster"


class Breaks(str, Enum):
    """What a fault does; what was broken for a while works again then, and what was killed is started again."""

    CLIENT_KILLED = "client killed"
    CLIENT_HUNG = "client hung"
    CLIENT_INTERRUPTED = "client interrupted"
    WORKER_KILLED = "worker killed"
    WORKER_HUNG = "worker hung"
    SERVER_KILLED = "server killed"
    SERVER_HUNG = "server hung"
    TRITON_KILLED = "Triton killed"
    TRITON_HUNG = "Triton hung"
    STEP_HUNG = "step hung"
    STEP_KILLED = "step killed"
    SERVER_CUT = "connections to the server cut"
    STORE_HUNG = "store hung"
    STORE_KILLED = "store killed"
    STORE_THROTTLED = "store throttled"
    STORE_BREAKS_OFF = "store breaks off and loses answers"
    STORE_FULL = "store full"
    DISK_FULL = "disk full"


ANYWHERE = (
    Breaks.CLIENT_KILLED,
    Breaks.CLIENT_HUNG,
    Breaks.CLIENT_INTERRUPTED,
    Breaks.SERVER_KILLED,
    Breaks.SERVER_HUNG,
    Breaks.TRITON_KILLED,
    Breaks.TRITON_HUNG,
    Breaks.STEP_HUNG,
    Breaks.STEP_KILLED,
    Breaks.SERVER_CUT,
)
OF_WORKERS = (Breaks.WORKER_KILLED, Breaks.WORKER_HUNG)
OF_STORES = (Breaks.STORE_HUNG, Breaks.STORE_KILLED, Breaks.STORE_THROTTLED, Breaks.STORE_BREAKS_OFF)
FEWEST, MOST = 2, 4
LONGEST_S = 3.0
LONGEST_WAIT = 0.5
RAY_SHARE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A fault.

    Attributes:
        breaks: What it does.
        wait: How long after the one before it, or after the first start, in times of an undisturbed run.
        lasts_s: How long what it breaks stays broken, or is away.
        number: Which of several processes it hits is chosen by this.
    """

    breaks: Breaks
    wait: float
    lasts_s: float
    number: int

    def __str__(self) -> str:
        return f"after {self.wait:.2f} of a run: {self.breaks.value} for {self.lasts_s:.1f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """An ingest and its faults.

    Attributes:
        seed: What it was drawn from.
        source: Where the photos lie.
        target: Where the results go.
        readers: Who reads.
        faults: In their order.
    """

    seed: int
    source: Source
    target: Target
    readers: Readers
    faults: tuple[Planned, ...]

    @property
    def uses_store(self) -> bool:
        return self.source is not Source.FOLDER or self.target is Target.STORE

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.source.value} -> {self.target.value}, read by {self.readers.value}"
        return "\n  ".join([head, *map(str, self.faults)])


def draw(seed: int, *, with_ray: bool) -> Scenario:
    """Draw a scenario; the same seed gives the same one, but that without Ray two processes take a cluster's place."""
    drawn = random.Random(seed)
    source, target = drawn.choice([*Source]), drawn.choice([*Target])
    by_cluster, two = drawn.random() < RAY_SHARE, drawn.random() < 0.5
    readers = Readers.RAY if by_cluster and with_ray else Readers.TWO if by_cluster or two else Readers.ONE
    kinds = [*ANYWHERE]
    if readers is not Readers.ONE:
        kinds += OF_WORKERS
    if source is not Source.FOLDER or target is Target.STORE:
        kinds += OF_STORES
    if target is Target.STORE:
        kinds.append(Breaks.STORE_FULL)
    if target is Target.TMPFS:
        kinds.append(Breaks.DISK_FULL)
    faults = tuple(
        Planned(
            breaks=kind,
            wait=drawn.uniform(0.05, LONGEST_WAIT),
            lasts_s=drawn.uniform(0.2, LONGEST_S),
            number=drawn.randrange(1000),
        )
        for kind in drawn.sample(kinds, drawn.randint(FEWEST, MOST))
    )
    return Scenario(seed=seed, source=source, target=target, readers=readers, faults=faults)
