"""Photos through servers that share the cores of a machine, as a discrete-event simulation.

A photo is read, passes the client's processes and then the steps of one server, in order; several servers take photos
in turn. A step has instances, each of which takes one photo at a time and uses as many cores as it has threads, or the
share that is left to it: all computations of the machine share its cores evenly. Nothing is drawn: each photo takes the
mean time of each step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

_DONE_CORE_S = 1e-12
"""What is left of a computation that has ended, rounding considered."""

Steps = Generator[simpy.Event, Any, None]
"""A process of the simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A step of a server, or a part of the client.

    Attributes:
        name: What it is called.
        core_s: Core-seconds that a photo takes in it.
        instances: Photos that it works on at a time.
        threads: The most cores that it uses for one of them.
    """

    name: str
    core_s: float
    instances: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        if self.core_s < 0 or self.instances < 1 or self.threads < 1:
            raise ValueError(f"{self} needs core_s >= 0 and one or more instances and threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is simulated.

    Attributes:
        cores: Cores of the machine, less what other programs take.
        in_flight: Photos under way at most.
        read_s: Time until a photo is there, which takes no core.
        client: What is done with each photo outside the servers, in order.
        server: The steps of each server, in order.
        num_servers: Servers on this machine, which take photos in turn.
    """

    cores: float
    in_flight: int
    read_s: float = 0.0
    client: Sequence[Stage] = ()
    server: Sequence[Stage] = ()
    num_servers: int = 1

    def __post_init__(self) -> None:
        if not self.cores > 0 or self.read_s < 0 or self.in_flight < 1 or self.num_servers < 1:
            raise ValueError(f"{self} needs cores > 0, read_s >= 0, and one or more photos in flight and servers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulation found.

    Attributes:
        num_photos: Photos that were scored.
        seconds: From the first one's start to the last one's end.
        core_s: Core-seconds that they took.
        busy_s: Stage to the time that its instances held photos, over all servers.
    """

    num_photos: int
    seconds: float
    core_s: float
    busy_s: dict[str, float] = field(default_factory=dict)

    @property
    def photos_per_s(self) -> float:
        """Return the throughput."""
        return self.num_photos / self.seconds


class SharedCores:
    """The cores of a machine: every computation that is under way gets the same share, as far as it can use it."""

    def __init__(self, environment: simpy.Environment, cores: float) -> None:
        """Prepare.

        Args:
            environment: The simulation.
            cores: How many there are; need not be whole.
        """
        self.used_core_s = 0.0
        self._environment = environment
        self._cores = cores
        self._computations: list[_Computation] = []
        self._since = 0.0
        self._plan = 0

    def compute(self, core_s: float, threads: int) -> simpy.Event:
        """Return the end of a computation that begins now.

        Args:
            core_s: What it takes.
            threads: The most cores that it uses.
        """
        ends = self._environment.event()
        self._take_stock()
        self._computations.append(_Computation(core_s, threads, ends))
        self._share()
        return ends

    def _take_stock(self) -> None:
        """Count what was computed since the last change, and end what is done."""
        passed_s = self._environment.now - self._since
        self._since = self._environment.now
        for computation in self._computations:
            computation.left_core_s -= computation.cores * passed_s
            self.used_core_s += computation.cores * passed_s
        done = [computation for computation in self._computations if computation.left_core_s <= _DONE_CORE_S]
        self._computations = [computation for computation in self._computations if computation not in done]
        for computation in done:
            computation.ends.succeed()

    def _share(self) -> None:
        """Give each computation its cores, and come back when the first one ends."""
        self._plan += 1
        if not self._computations:
            return
        shares = even_shares([computation.threads for computation in self._computations], self._cores)
        for computation, share in zip(self._computations, shares, strict=True):
            computation.cores = share
        next_s = min(computation.left_core_s / computation.cores for computation in self._computations)
        self._environment.timeout(max(next_s, 0.0)).callbacks.append(self._at_end_of(self._plan))

    def _at_end_of(self, plan: int) -> Callable[[simpy.Event], None]:
        def change(_: simpy.Event) -> None:
            if plan == self._plan:
                self._take_stock()
                self._share()

        return change


@dataclass(slots=True, eq=False)
class _Computation:
    left_core_s: float
    threads: int
    ends: simpy.Event
    cores: float = 0.0


def even_shares(limits: Sequence[float], cores: float) -> list[float]:
    """Return what each of some computations gets of the cores: the same, or all that it can use where that is less.

    Args:
        limits: The most cores that each can use.
        cores: What there is.
    """
    shares = [0.0] * len(limits)
    for place, index in enumerate(sorted(range(len(limits)), key=limits.__getitem__)):
        shares[index] = min(limits[index], cores / (len(limits) - place))
        cores -= shares[index]
    return shares


class Station:
    """A stage of one server or of the client, with the photos that wait for it."""

    def __init__(self, environment: simpy.Environment, cores: SharedCores, stage: Stage) -> None:
        """Prepare.

        Args:
            environment: The simulation.
            cores: What it computes on.
            stage: What it is.
        """
        self.name = stage.name
        self.busy_s = 0.0
        self._environment = environment
        self._cores = cores
        self._stage = stage
        self._instances = simpy.Resource(environment, stage.instances)

    def serve(self) -> Steps:
        """Take one photo: wait for an instance, and compute."""
        with self._instances.request() as instance:
            yield instance
            begun = self._environment.now
            yield self._cores.compute(self._stage.core_s, self._stage.threads)
            self.busy_s += self._environment.now - begun


def simulate(setting: Setting, num_photos: int) -> Outcome:
    """Return what becomes of photos that are all there at the start.

    Args:
        setting: The machine, the client and the servers.
        num_photos: How many; one or more.
    """
    environment = simpy.Environment()
    cores = SharedCores(environment, setting.cores)

    def stations(stages: Sequence[Stage]) -> list[Station]:
        return [Station(environment, cores, stage) for stage in stages]

    client = stations(setting.client)
    servers = [stations(setting.server) for _ in range(setting.num_servers)]
    photos = iter(range(num_photos))
    turns = itertools.cycle(servers)

    def place() -> Steps:
        """Score one photo after the other."""
        for _ in photos:
            yield environment.timeout(setting.read_s)
            for station in client:
                yield from station.serve()
            for station in next(turns):
                yield from station.serve()

    for _ in range(min(setting.in_flight, num_photos)):
        environment.process(place())
    environment.run()
    busy_s: dict[str, float] = {}
    for station in itertools.chain(client, *servers):
        busy_s[station.name] = busy_s.get(station.name, 0.0) + station.busy_s
    return Outcome(num_photos=num_photos, seconds=environment.now, core_s=cores.used_core_s, busy_s=busy_s)
