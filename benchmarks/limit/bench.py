"""How near does ingest through the embedded server come to what its steps alone cost on this machine?

    python benchmarks/limit/bench.py PHOTOS... [--models PACK] [--rounds N]

The bare limit: each step alone in a tight loop on the same photos, with the same graphs and threads; the sum of their
core-seconds over the cores is what a pipeline without any cost of its own would take. Rounds of bare steps and of
ingest take turns, and their medians are shown, as Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bare import GATE, BareLimit, measure, wiring

from fsclient.models.name_to_repository import served_repository
from fsclient.photos.finding.photo_search import find_photos
from fsengine.contracts.steps import DECODE, DECODE_ISOLATED
from fsengine.errors import FaceStatsError
from fsengine.packs.shipped import SHIPPED_PACK
from fsengine.server.embedded import EmbeddedServer
from fsengine.terminal.messages import say
from fsengine.terminal.tables import Table
from machine import num_cores, print_machine
from markdown import markdown
from memory_samples import MemorySamples, process_tree_bytes
from processes import CONVERTER, machine_cpu_seconds, seconds_by_role
from served_ingest import ingest_once

PACKAGES = ("facestats", "nvidia-pytriton", "nvidia-dali-cuda130", "onnxruntime", "treelite", "numpy", "pyarrow")

MOST_OF_OTHERS = 0.03
"""Of the cores' time, that other programs may take while a share means something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """One ingest.

    Attributes:
        core_seconds: Of each process, by the name of its step or of its part.
        wall_s: How long it took.
        others_s: Core-seconds that all other processes of the machine took meanwhile.
        num_photos: Photos that were scored.
        num_faces: Faces on them.
    """

    core_seconds: dict[str, float]
    wall_s: float
    others_s: float
    num_photos: int
    num_faces: int


def measured_ingest(sources: list[str], url: str, steps: list[str]) -> Ingest:
    """Ingest photos once and say what it took."""
    models = [*steps, DECODE_ISOLATED]
    machine, before = machine_cpu_seconds(), seconds_by_role(models)
    summary = ingest_once(sources, url)
    after = seconds_by_role(models)
    taken = {name: after[name] - before[name] for name in after}
    # The gate is on both sides: what the bare steps call so are the converters, but for some 20 us a photo.
    taken = {GATE: taken.pop(CONVERTER), **taken}
    taken[DECODE] += taken.pop(DECODE_ISOLATED)
    return Ingest(
        core_seconds=taken,
        wall_s=summary.seconds,
        others_s=machine_cpu_seconds() - machine - sum(taken.values()),
        num_photos=sum(number for status, number in summary.statuses.items() if status.value in ("ok", "no_face")),
        num_faces=summary.num_faces,
    )


def result_table(bare: list[BareLimit], ingests: list[Ingest]) -> Table:
    """Return the core-seconds of every step and part, bare and in ingest."""
    rows = []
    for name in ingests[0].core_seconds:
        alone = median(limit.seconds[name] for limit in bare) if name in bare[0].seconds else None
        served = median(ingest.core_seconds[name] for ingest in ingests)
        ratio = f"{served / alone:.2f}" if alone else ""
        rows.append([name, "" if alone is None else f"{alone:.2f}", f"{served:.2f}", ratio])
    alone = median(sum(limit.seconds.values()) for limit in bare)
    served = median(sum(ingest.core_seconds.values()) for ingest in ingests)
    rows.append(["all", f"{alone:.2f}", f"{served:.2f}", f"{served / alone:.2f}"])
    return Table(header=["step", "bare, core-s", "ingest, core-s", "ingest / bare"], rows=rows, align="lrrr")


def speed_lines(bare: list[BareLimit], ingests: list[Ingest], peak_bytes: float) -> list[str]:
    """Return what the table means in photos a second."""
    cores = num_cores()
    limits = [limit.num_photos * cores / sum(limit.seconds.values()) for limit in bare]
    speeds = [ingest.num_photos / ingest.wall_s for ingest in ingests]
    shares = sorted(speed / limit for speed, limit in zip(speeds, limits, strict=True))
    own = [sum(ingest.core_seconds.values()) for ingest in ingests]
    others = [ingest.others_s / (cores * ingest.wall_s) for ingest in ingests]
    idle = [1 - taken / (cores * i.wall_s) - other for i, taken, other in zip(ingests, own, others, strict=True)]
    ratios = [sum(limit.seconds.values()) / taken for limit, taken in zip(bare, own, strict=True)]
    lines = [
        f"bare limit {median(limits):.2f} photos/s, ingest {median(speeds):.2f} photos/s, "
        f"{median(i.num_faces / i.wall_s for i in ingests):.2f} faces/s",
        f"share of the limit {median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f} in {len(shares)} rounds)",
        f"of ingest's core-seconds {median(ratios):.2f} are the bare steps'; of the cores' time "
        f"{100 * median(idle):.0f} % idle, {100 * median(others):.0f} % other programs'",
        f"memory {peak_bytes / 1e9:.2f} GB at most, whole process tree (PSS)",
    ]
    if median(others) > MOST_OF_OTHERS:
        lines.append("other programs slowed this ingest: photos/s and share are too low, and its core-seconds count")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", help="files, folders or quoted patterns")
    parser.add_argument("--models", default=SHIPPED_PACK, metavar="PACK", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds is {arguments.rounds}, expected 1 or more")
    try:
        repository = served_repository(arguments.models, say)
        paths = [Path(os.fsdecode(path)) for path in find_photos(arguments.photos).paths]
    except FaceStatsError as exc:
        parser.error(str(exc))
    bare, ingests = [], []
    with EmbeddedServer(repository) as server:
        steps = [step.model_name for step in wiring(repository)]
        with MemorySamples(process_tree_bytes, every_s=0.5) as memory:  # apart: reading it takes time of its own
            ingest_once(arguments.photos, server.url)
        for number in range(1, arguments.rounds + 1):
            ingests.append(measured_ingest(arguments.photos, server.url, steps))
            # A process of its own: the libraries' threads and memory end with it.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                bare.append(pool.submit(measure, repository, paths).result())
            say(
                f"round {number} of {arguments.rounds}: bare {sum(bare[-1].seconds.values()):.1f} core-s, ingest "
                f"{sum(ingests[-1].core_seconds.values()):.1f} core-s in {ingests[-1].wall_s:.1f} s"
            )
    if bare[0].num_photos != ingests[0].num_photos or bare[0].num_faces != ingests[0].num_faces:
        say(
            f"error: bare steps found {bare[0].num_faces} faces on {bare[0].num_photos} photos, ingest "
            f"{ingests[0].num_faces} on {ingests[0].num_photos}; expected the same work on both sides"
        )
        return 1
    print_machine(PACKAGES)
    print(f"models: {arguments.models}; photos: {bare[0].num_photos} with {bare[0].num_faces} faces")
    print(f"\n{markdown(result_table(bare, ingests))}\n")
    print("\n".join(speed_lines(bare, ingests, max(memory.readings))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
