"""Photos through a whole server: memory over many of them, and photos a second."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from fsclient.backend.server_choice import OpenServer, open_server
from fsclient.backend.triton import TritonBackend
from fsclient.bench.benchmark import levels_within, run_bench
from fsclient.bench.level import latency_percentiles
from fsclient.bench.measure import Bench, BenchConfig
from fsclient.bench.speed_report import bound_text, notes_text
from fsclient.bench.workload import Workload, read_workload
from fsclient.photos.finding.photo_search import find_photos
from fsengine.errors import InvalidInputError
from fsengine.gpu import VISIBLE_DEVICES
from fsengine.terminal.messages import say
from fsengine.terminal.progress_bar import progress_bar
from memory_samples import MemorySamples, process_tree_bytes
from outcome import Outcome, Row, Status, measured
from settings import Settings

MEMORY = "memory"
END_TO_END_PARTS = END_TO_END, STEPS = "end_to_end", "end_to_end/steps"

MEMORY_IN_FLIGHT = 16

EVERY_S = 1.0
LEAST_READINGS = 20
"""Fewer tell nothing of growth."""

FLAT_MIB = 64.0
"""Memory that grows by no more than this, from the first tenth of its readings to the last, is flat."""

_MIB = 1 << 20


def run_memory(settings: Settings) -> Iterator[Outcome]:
    """Send photos over and over and watch the memory of the GPU, and of the embedded server on the host."""
    paths = find_photos(settings.sources).paths[: settings.memory_photos]
    workload = read_workload(paths, lambda: None)
    watched = _what_to_watch(settings)
    with open_server(settings.server_choice, say) as server:
        yield asyncio.run(_watched(workload, server, watched, settings))


async def _watched(
    workload: Workload, server: OpenServer, watched: Mapping[str, MemorySamples], settings: Settings
) -> Outcome:
    rounds = math.ceil(settings.memory_photos / len(workload.photos))
    # Long enough for every batch size and the largest photo to have had its memory.
    warm_up = max(2 * len(workload.photos), settings.memory_photos // 20)
    backend = TritonBackend(server.url)
    try:
        served = await backend.served()  # which tells the backend what the server can take
        (in_flight,) = levels_within(
            (min(MEMORY_IN_FLIGHT, backend.capacity.photos_in_flight),), server.photos_in_flight
        )
        bench = Bench(
            workload=workload,
            config=BenchConfig(concurrencies=(in_flight,), rounds=rounds, warm_up_photos=warm_up),
            backend=backend,
            served=served,
            instances=await backend.instances(),
        )
        with progress_bar(MEMORY, warm_up + rounds * len(workload.photos), "photo") as bar:
            await bench.warm_up(bar.advance)
            with ExitStack() as stack:
                for samples in watched.values():
                    stack.enter_context(samples)
                level = await bench.measure(in_flight, bar.advance)
    finally:
        await backend.close()
    rows = [memory_row(what, samples.readings, level.traffic.requests) for what, samples in watched.items()]
    notes = [
        f"{level.traffic.answered} of {level.traffic.requests} photos answered in {level.seconds:.0f} s, "
        f"{in_flight} in flight, after {warm_up} to warm up",
        f"a reading each second; flat: no more than {FLAT_MIB:g} MiB from the first tenth of them to the last, "
        f"and told from {LEAST_READINGS} readings on",
    ]
    if level.failures:
        reasons = ", ".join(f"{reason} {number}" for reason, number in level.failure_reasons.items())
        notes.append(f"{len(level.failures)} of {workload.num_photos} files failed: {reasons}")
    return measured(MEMORY, rows, notes)


def _what_to_watch(settings: Settings) -> dict[str, MemorySamples]:
    watched = {}
    if settings.gpu is not None:
        watched["gpu (all that runs on it)"] = MemorySamples(gpu_memory_mib, EVERY_S)
    if settings.server is None:
        watched["host (server and client)"] = MemorySamples(lambda: process_tree_bytes() / _MIB, EVERY_S)
    if not watched:
        raise InvalidInputError(
            f"the memory of {settings.server} cannot be seen from here without a GPU that it runs on"
        )
    return watched


def gpu_memory_mib() -> float:
    """Return the memory in use of the one GPU that is visible, by whatever runs on it."""
    gpu = os.environ[VISIBLE_DEVICES]
    query = ["nvidia-smi", f"--id={gpu}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout)


def memory_row(what: str, readings_mib: Sequence[float], num_photos: int) -> Row:
    """Return what readings, evenly spaced while some photos were sent, say of growth."""
    tenth = max(1, len(readings_mib) // 10)
    first, last = statistics.median(readings_mib[:tenth]), statistics.median(readings_mib[-tenth:])
    long_enough = len(readings_mib) >= LEAST_READINGS
    return {
        "memory": what,
        "first_mib": first,
        "last_mib": last,
        "peak_mib": max(readings_mib),
        "mib_per_1000_photos": 1e3 * (last - first) / num_photos if long_enough else None,
        "readings": len(readings_mib),
        "flat": last - first <= FLAT_MIB if long_enough else None,
    }


def run_end_to_end(settings: Settings) -> Iterator[Outcome]:
    """Measure the server with more and more photos in flight."""
    levels = settings.concurrencies
    config = BenchConfig(concurrencies=levels, seconds=settings.seconds, warm_up_photos=2 * max(levels))
    result = run_bench(settings.sources, config, settings.server_choice, say)
    rows: list[Row] = [
        {
            "in_flight": level.concurrency,
            "photos_per_s": level.photos_per_second,
            "faces_per_s": level.faces_per_second,
            **{f"{name}_ms": value for name, value in (latency_percentiles(level.traffic.latencies_ms) or {}).items()},
            "not_answered": level.traffic.failed,
            "client_busy_share": level.client_busy_share,
            "bound_by": level.bound_by,
            "pack": result.served.models.pack,
        }
        for level in result.levels
    ]
    yield measured(END_TO_END, rows, notes_text(result))
    best = result.best
    if not best.stages:
        yield Outcome(name=STEPS, status=Status.ABSENT, reason="; ".join(best.notes))
        return
    rows = [
        {
            "step": stage.name,
            "busy_share": stage.busy_share,
            "compute_us": stage.compute_us,
            "queue_us": stage.queue_us,
            "batch": stage.batch_size,
            "instances": stage.instances,
        }
        for stage in best.stages
    ]
    yield measured(STEPS, rows, [f"with {best.concurrency} in flight; {bound_text(best)}"])
