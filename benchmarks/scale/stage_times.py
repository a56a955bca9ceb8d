"""What each step of a server and the client take for a photo, measured on one server."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

from cores_left import cores_left
from simulation import Setting, Stage

from fsclient import Client
from fsclient.backend.statistics import ModelStatistics
from fsclient.backend.triton import TritonBackend
from fsdata.results import open_results
from fsengine.contracts.steps import DECODE, DECODE_ISOLATED
from fsengine.server.threads import step_threads
from processes import CLIENT, CONVERTER, SERVER, machine_cpu_seconds, seconds_by_role

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One ingest.

    Attributes:
        num_photos: Rows that it wrote.
        seconds: From the first request to the last row.
        read_s: Median time to read a photo that is not converted.
        others: Cores that other programs took meanwhile.
        core_s: Core-seconds of each part of this process's tree: the steps, converters, Triton and the client.
    """

    num_photos: int
    seconds: float
    read_s: float
    others: float
    core_s: dict[str, float]

    @property
    def photos_per_s(self) -> float:
        """Return the throughput."""
        return self.num_photos / self.seconds

    @property
    def cores_left(self) -> float:
        """Return the cores that other programs left."""
        return cores_left(self.others)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """What is known of a photo's way from a run with one server.

    Attributes:
        client: Parts of the client.
        server: Steps of the server.
        read_s: Time until a photo is there.
        cores_left: Cores that other programs left meanwhile.
        in_instance_s: Step to the time that a photo takes inside an instance, as Triton counts it: it grows where the
            cores are shared, and the simulation does without it.
    """

    client: tuple[Stage, ...]
    server: tuple[Stage, ...]
    read_s: float
    cores_left: float
    in_instance_s: dict[str, float]

    @property
    def core_s(self) -> float:
        """Return the core-seconds of a photo."""
        return sum(stage.core_s for stage in (*self.client, *self.server))

    def with_server_core_s(self, core_s: float) -> StageTimes:
        """Return these times with steps that take so many core-seconds a photo together, in the same proportions."""
        factor = core_s / sum(stage.core_s for stage in self.server)
        return replace(self, server=tuple(replace(stage, core_s=factor * stage.core_s) for stage in self.server))

    def setting(self, *, cores: float, in_flight: int, num_servers: int) -> Setting:
        """Return servers of this kind on some cores.

        Args:
            cores: What there is of them.
            in_flight: Photos in flight, of all servers together.
            num_servers: How many.
        """
        return Setting(
            cores=cores,
            in_flight=in_flight,
            read_s=self.read_s,
            client=self.client,
            server=self.server,
            num_servers=num_servers,
        )


def run_ingest(photos: Sequence[str], servers: str, concurrency: int, steps: Sequence[str]) -> Run:
    """Ingest photos into a folder that is thrown away.

    Args:
        photos: Files, folders and patterns.
        servers: `host:port` of one server, or of several with commas; children of this process.
        concurrency: Photos in flight.
        steps: Their models.
    """
    with tempfile.TemporaryDirectory() as out, Client(servers) as client:
        machine, before, begun = machine_cpu_seconds(), seconds_by_role([*steps]), time.perf_counter()
        summary = client.ingest(photos, out, concurrency=concurrency)
        wall_s, after = time.perf_counter() - begun, seconds_by_role([*steps])
        core_s = {name: after[name] - before[name] for name in after}
        others_s = machine_cpu_seconds() - machine - sum(core_s.values())
        if summary.interrupted:  # an ingest hears Ctrl-C itself
            raise KeyboardInterrupt
        rows = open_results(out).photos().select(["read_ms", "converted"]).to_pylist()
    read_ms = [row["read_ms"] for row in rows if row["converted"] is None]
    return Run(
        num_photos=summary.num_rows,
        seconds=summary.seconds,
        read_s=median(read_ms) / 1e3 if read_ms else 0.0,
        others=others_s / wall_s,
        core_s=core_s,
    )


def instances_of(server: str) -> dict[str, int]:
    """Return a server's steps in order, each with the number of its instances."""

    async def ask(backend: TritonBackend) -> dict[str, int]:
        await backend.served()
        return await backend.instances()

    return _asked(server, ask)


def measure(photos: Sequence[str], server: str, instances: dict[str, int], concurrency: int) -> StageTimes:
    """Ingest photos with one server and return what each part took for a photo.

    Args:
        photos: Files, folders and patterns.
        server: `host:port`.
        instances: See `instances_of`.
        concurrency: Photos in flight.
    """
    before = _asked(server, TritonBackend.statistics) or {}
    run = run_ingest(photos, server, concurrency, list(instances))
    after = _asked(server, TritonBackend.statistics) or {}
    each_s = {name: core_s / run.num_photos for name, core_s in run.core_s.items()}
    each_s[DECODE] += each_s.pop(DECODE_ISOLATED, 0.0)
    steps = [step for step in instances if step != DECODE_ISOLATED]
    counted: dict[str, ModelStatistics] = {step: after[step].minus(before[step]) for step in steps if step in before}
    return StageTimes(
        client=tuple(Stage(name=name, core_s=each_s[name]) for name in (CONVERTER, CLIENT)),
        server=(
            *(_stage(step, each_s[step], instances[step]) for step in steps),
            # Triton moves photos in threads of its own, as many as there are photos.
            Stage(name=SERVER, core_s=each_s[SERVER], instances=concurrency),
        ),
        read_s=run.read_s,
        cores_left=run.cores_left,
        in_instance_s={step: statistics.busy_ns / 1e9 / run.num_photos for step, statistics in counted.items()},
    )


def _stage(step: str, core_s: float, instances: int) -> Stage:
    return Stage(name=step, core_s=core_s, instances=instances, threads=step_threads(instances))


def _asked(server: str, ask: Callable[[TritonBackend], Awaitable[T]]) -> T:
    async def answer() -> T:
        backend = TritonBackend(server)
        try:
            return await ask(backend)
        finally:
            await backend.close()

    return asyncio.run(answer())
