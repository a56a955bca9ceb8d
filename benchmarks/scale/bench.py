"""Does a simulation, fed with the times of a photo's stages on one server, say how fast other settings are?

    python benchmarks/scale/bench.py PHOTOS... [--models PACK] [--rounds N] [--limit N] [--no-ray]

A round ingests the photos with one embedded server, which gives the core-seconds of each stage, then in each setting
that is predicted: one server again, one photo in flight, two servers, and two Ray workers with a server each. Of a
setting nothing is known to the simulation but the stages, how many servers and photos in flight there are, and how
many cores other programs left meanwhile; "blind" is the ratio without the last, with what they left while the stages
were measured. Two Ray workers are predicted from a run with one, which gives what Ray itself takes for a photo, and
what the server takes beside it. Prints the median of the rounds, as Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ray_runs import LEAST_PHOTOS, RayFailedError, RayRun, run_ray, why_missing
from simulation import Stage, simulate
from stage_times import Run, StageTimes, instances_of, measure, run_ingest

from fsclient.models.name_to_repository import served_repository
from fsclient.photos.finding.photo_search import find_photos
from fsengine.errors import FaceStatsError
from fsengine.packs.shipped import SHIPPED_PACK
from fsengine.server.embedded import EmbeddedServer
from fsengine.terminal.messages import say
from fsengine.terminal.tables import Table
from machine import num_cores, print_machine
from markdown import markdown

PACKAGES = ("facestats", "nvidia-pytriton", "nvidia-dali-cuda130", "onnxruntime", "numpy", "pyarrow", "ray", "simpy")

IN_FLIGHT = 8
"""Photos in flight for each server: what `fsclient ingest` takes on a CPU."""

WITHIN = 0.25
"""How far the median of a setting's ratios may be from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A setting that is predicted.

    Attributes:
        name: What it is called.
        num_servers: Servers that are asked.
        in_flight: Photos in flight, of all servers together.
    """

    name: str
    num_servers: int
    in_flight: int


CASES = (
    Case(name="one server", num_servers=1, in_flight=IN_FLIGHT),
    Case(name="one server, one photo in flight", num_servers=1, in_flight=1),
    Case(name="two servers", num_servers=2, in_flight=2 * IN_FLIGHT),
)
RAY = Case(name="two Ray workers, two servers", num_servers=2, in_flight=2 * IN_FLIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A setting as it was measured once, and as it was predicted.

    Attributes:
        measured: Photos a second.
        predicted: Photos a second.
        blind: Photos a second, predicted with the cores that other programs left while the stages were measured.
        cores_left: Cores that other programs left meanwhile.
    """

    measured: float
    predicted: float
    blind: float
    cores_left: float

    @property
    def ratio(self) -> float:
        """Return the predicted throughput by the measured one."""
        return self.predicted / self.measured


def compare(photos: Sequence[str], times: StageTimes, case: Case, servers: str, steps: Sequence[str]) -> Compared:
    """Measure a setting, and predict it."""
    run = run_ingest(photos, servers, case.in_flight, steps)
    return _compared(run, times, case)


def compare_ray(photos: Sequence[str], times: StageTimes, servers: Sequence[str]) -> Compared:
    """Measure two Ray workers, and predict them from one."""
    one = run_ray(photos, servers[:1], workers=1, concurrency=IN_FLIGHT)
    two = run_ray(photos, servers, workers=2, concurrency=IN_FLIGHT)
    # Tasks read, workers ask, the command writes, and Ray moves what they hand over: all beside each other.
    ray = Stage(name="ray", core_s=one.core_s / one.num_photos, instances=RAY.in_flight)
    of_servers = times.with_server_core_s(one.servers_s / one.num_photos)
    return _compared(two, replace(of_servers, client=(ray,), cores_left=one.cores_left), RAY)


def _compared(run: Run | RayRun, times: StageTimes, case: Case) -> Compared:
    def predicted(cores: float) -> float:
        setting = times.setting(cores=cores, in_flight=case.in_flight, num_servers=case.num_servers)
        return simulate(setting, run.num_photos).photos_per_s

    return Compared(
        measured=run.photos_per_s,
        predicted=predicted(run.cores_left),
        blind=predicted(times.cores_left),
        cores_left=run.cores_left,
    )


def stage_table(rounds: Sequence[StageTimes]) -> Table:
    """Return what was measured of each stage on one server."""
    rows = []
    for index, stage in enumerate((*rounds[0].client, *rounds[0].server)):
        core_ms = 1e3 * median((*times.client, *times.server)[index].core_s for times in rounds)
        inside = [times.in_instance_s[stage.name] for times in rounds if stage.name in times.in_instance_s]
        in_instance = f"{1e3 * median(inside):.1f}" if inside else ""
        rows.append([stage.name, f"{core_ms:.1f}", in_instance, str(stage.instances), str(stage.threads)])
    rows.append(["all", f"{1e3 * median(times.core_s for times in rounds):.1f}", "", "", ""])
    header = ["stage", "core-ms a photo", "ms in an instance", "instances", "threads of each"]
    return Table(header=header, rows=rows, align="lrrrr")


def result_table(found: dict[str, list[Compared]], missing: str | None) -> Table:
    """Return measured and predicted throughput of each setting."""
    rows = []
    for name, runs in found.items():
        ratios = sorted(run.ratio for run in runs)
        rows.append(
            [
                name,
                f"{median(run.measured for run in runs):.2f}",
                f"{median(run.predicted for run in runs):.2f}",
                f"{median(ratios):.2f}",
                f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
                f"{median(run.blind / run.measured for run in runs):.2f}",
                f"{median(run.cores_left for run in runs):.2f}",
                str(len(runs)),
            ]
        )
    if missing:
        rows.append([RAY.name, missing, *[""] * 6])
    header = ["setting", "measured, photos/s", "predicted", "ratio", "in the rounds", "blind", "cores left", "rounds"]
    return Table(header=header, rows=rows, align="lrrrrrrr")


def verdict(found: dict[str, list[Compared]]) -> str:
    """Return whether the predictions are near enough, in a line."""
    off = [name for name, runs in found.items() if abs(median(run.ratio for run in runs) - 1) > WITHIN]
    return f"off by more than {WITHIN:.0%}: {', '.join(off)}" if off else f"all within {WITHIN:.0%}"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", help="files, folders or quoted patterns")
    parser.add_argument("--models", default=SHIPPED_PACK, metavar="PACK", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N photos; default: all")
    parser.add_argument("--no-ray", action="store_true", help="leave Ray out")
    return parser


def main() -> int:
    command = parser()
    arguments = command.parse_args()
    if arguments.rounds < 1 or (arguments.limit is not None and arguments.limit < 1):
        command.error("--rounds and --limit take 1 or more")
    try:
        repository = served_repository(arguments.models, say)
        photos = list(map(os.fsdecode, find_photos(arguments.photos).paths))[: arguments.limit]
    except FaceStatsError as exc:
        command.error(str(exc))
    missing = "left out" if arguments.no_ray else why_missing()
    if missing is None and len(photos) < LEAST_PHOTOS:
        missing = f"needs {LEAST_PHOTOS} photos"
    found: dict[str, list[Compared]] = {case.name: [] for case in CASES}
    rounds = []
    with EmbeddedServer(repository) as first, EmbeddedServer(repository) as second:
        servers = [first.url, second.url]
        instances = instances_of(first.url)
        steps = list(instances)
        run_ingest(photos, ",".join(servers), 2 * IN_FLIGHT, steps)  # both are warm then
        for number in range(1, arguments.rounds + 1):
            times = measure(photos, first.url, instances, IN_FLIGHT)
            rounds.append(times)
            for case in CASES:
                asked = ",".join(servers[: case.num_servers])
                found[case.name].append(compare(photos, times, case, asked, steps))
            if missing is None:
                try:
                    found.setdefault(RAY.name, []).append(compare_ray(photos, times, servers))
                except RayFailedError as exc:
                    say(str(exc))
            ratios = ", ".join(f"{name} {runs[-1].ratio:.2f}" for name, runs in found.items() if runs)
            say(f"round {number} of {arguments.rounds}: {1e3 * times.core_s:.1f} core-ms a photo; {ratios}")
    if not found.get(RAY.name, ["measured"]):
        del found[RAY.name]
        missing = "failed in every round"
    print_machine(PACKAGES)
    print(f"models: {arguments.models}; photos: {len(photos)}; rounds: {len(rounds)}; {num_cores()} cores")
    print(f"\n{markdown(stage_table(rounds))}\n\n{markdown(result_table(found, missing))}\n")
    print(verdict(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
