"""A whole benchmark: photos read, a server found or started, every level measured, progress shown."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from fsclient.backend.address import parse_address
from fsclient.backend.connection import connect
from fsclient.backend.server_choice import OpenServer, ServerChoice, open_server
from fsclient.backend.triton import REQUEST_TIMEOUT_S, TritonBackend
from fsclient.bench.level import Level
from fsclient.bench.measure import Bench, BenchConfig
from fsclient.bench.perf_analyzer import perf_analyzer_line, perf_data_paths, write_perf_data
from fsclient.bench.workload import Workload, read_workload
from fsclient.photos.finding.photo_search import find_photos
from fsclient.photos.source_rules import SourceRules
from fsengine.contracts.served import ServedEnsemble
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import Say, counted, printable
from fsengine.terminal.progress_bar import progress_bar


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """What was measured of a server.

    Attributes:
        server: Its `host:port`.
        served: What it serves.
        num_photos: Photos that were given.
        levels: One or more, in the order of measuring.
        perf_analyzer: The command line that asks the server the same with another client, see
            `fsclient.bench.perf_analyzer`; None where it cannot be asked so, or was started for this.
    """

    server: str
    served: ServedEnsemble
    num_photos: int
    levels: list[Level]
    perf_analyzer: str | None = None

    @property
    def best(self) -> Level:
        """Return the level with the most photos in a second."""
        return max(self.levels, key=lambda level: level.photos_per_second)

    @property
    def exit_code(self) -> int:
        """Return 3 where photos failed at any level, else 0."""
        return 3 if any(level.failures for level in self.levels) else 0


def run_bench(
    sources: tuple[str, ...],
    config: BenchConfig,
    choice: ServerChoice,
    say: Say,
    *,
    perf_data: Path | None = None,
    overwrite: bool = False,
) -> BenchResult:
    """Measure a server that is given or started for it.

    Args:
        sources: Files, folders and patterns.
        config: How to measure.
        choice: Which server.
        say: Called with each line for people.
        perf_data: Where the photos are written for `perf_analyzer`; None for nowhere.
        overwrite: Whether a file that is there may be replaced by them.

    Raises:
        InvalidInputError: The sources name no photo, or `perf_data` must not be written.
        ServerUnavailableError: The server is unavailable, or was lost.
        FaceStatsError: The models or the server cannot be used.
    """
    found = find_photos(sources, rules=SourceRules(strict=True))
    for folder, reason in found.tally.unreadable:
        say(f"{printable(folder)}: {reason}")
    if not (paths := found.paths):
        raise InvalidInputError(f"{', '.join(sources)} holds no file; expected photos")
    outputs = perf_data_paths(paths, overwrite=overwrite)
    if perf_data is not None:
        outputs.check(perf_data)
    with progress_bar("reading", len(paths), "photo") as bar:
        workload = read_workload(paths, bar.advance)
    if perf_data is not None:
        write_perf_data(workload, perf_data, outputs)
    with open_server(choice, say) as server:
        levels = levels_within(config.concurrencies, server.photos_in_flight)
        if levels != config.concurrencies:
            assert server.photos_in_flight is not None
            room = counted(server.photos_in_flight, "photo")
            say(f"/dev/shm has room for {room} in flight: levels are cut to that")
        config = replace(config, concurrencies=levels)
        try:
            result = asyncio.run(_measured(workload, config, choice, server, say))
        finally:
            if server.embedded is not None and not server.embedded.alive():
                say(f"the embedded server died; its log is {server.embedded.log_path}")
    if choice.server is None:
        return result
    address = parse_address(choice.server, choice.access)
    return replace(result, perf_analyzer=perf_analyzer_line(address, choice.access, perf_data, result.best.concurrency))


async def _measured(
    workload: Workload, config: BenchConfig, choice: ServerChoice, server: OpenServer, say: Say
) -> BenchResult:
    backend = connect(server.url, choice.access, request_timeout_s=REQUEST_TIMEOUT_S)
    if not isinstance(backend, TritonBackend):
        raise InvalidInputError(f"one server is measured at a time, and {server.url} names several")
    try:
        served = await backend.served()
        choice.check_served(served.models)
        bench = Bench(
            workload=workload,
            config=config,
            backend=backend,
            served=served,
            instances=await backend.instances(),
        )
        say(_about(workload, config, server, served))
        with progress_bar("warm-up", config.warm_up_photos, "photo") as bar:
            await bench.warm_up(bar.advance)
        levels = []
        for concurrency in config.concurrencies:
            total = None if config.rounds is None else config.rounds * len(workload.photos)
            with progress_bar(f"{concurrency} in flight", total, "photo") as bar:
                levels.append(await bench.measure(concurrency, bar.advance))
            say(f"{concurrency} in flight: {levels[-1].photos_per_second:.1f} photos/s")
    finally:
        await backend.close()
    return BenchResult(server=server.url, served=served, num_photos=workload.num_photos, levels=levels)


def _about(workload: Workload, config: BenchConfig, server: OpenServer, served: ServedEnsemble) -> str:
    """Return what is about to be measured, and how."""
    models = served.models
    match config.rounds:
        case None:
            length = f"whole rounds of them for {config.seconds:g} s or more"
        case 1:
            length = "each photo once"
        case rounds:
            length = f"each photo {rounds} times"
    return (
        f"measuring {server.url} ({served.runtime}), models {models.pack} ({models.model_set_id}), "
        f"with {counted(workload.num_photos, 'photo')}\n"
        f"{counted(config.warm_up_photos, 'photo')} to warm up, not counted; then {length}, "
        "with each number of photos in flight"
    )


def levels_within(levels: tuple[int, ...], room: int | None) -> tuple[int, ...]:
    """Return levels of which none has more photos in flight than a server has room for; None where that is unknown."""
    return levels if room is None else tuple(dict.fromkeys(min(level, room) for level in levels))
