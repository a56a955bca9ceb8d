"""How fast are the loops that one would write oneself, on the same photos with the same networks, against ingest?

    pip install -c constraints.txt '.[server,export,training]'
    python benchmarks/peers/bench.py PHOTOS... --assets ../shared [--rounds N] [--no-int8]

Against the way of the first FaceStats (no detection, CLIP twice a photo), a loop that describes face by face, and one
that describes the faces of a photo in one batch. All run CLIP ViT-B/32 with seeded random weights, which are as fast as
trained ones; the packs are built first, and kept. Rounds of everything take turns, and medians are shown, as Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from clip_packs import fp32_pack, int8_pack
from loops import LOOPS, LoopResult, measure

from fsclient.models.name_to_repository import served_repository
from fsclient.photos.finding.photo_search import find_photos
from fsengine.errors import FaceStatsError
from fsengine.server.embedded import EmbeddedServer
from fsengine.terminal.messages import say
from fsengine.terminal.tables import Table
from machine import print_machine
from markdown import markdown
from processes import tree_cpu_seconds
from served_ingest import ingest_once

PACKAGES = (
    "facestats",
    "torch",
    "open_clip_torch",
    "onnxruntime",
    "nvidia-pytriton",
    "nvidia-dali-cuda130",
    "treelite",
)
INGEST, INGEST_INT8 = "ingest", "ingest, int8 encoder"


def measured_ingest(sources: list[str], pack: Path) -> LoopResult:
    """Ingest photos twice through an embedded server and return what the second time took."""
    with EmbeddedServer(served_repository(str(pack), say)) as server:
        ingest_once(sources, server.url)
        before = tree_cpu_seconds()
        summary = ingest_once(sources, server.url)
        core_s = tree_cpu_seconds() - before
    return LoopResult(
        num_photos=sum(number for status, number in summary.statuses.items() if status.value in ("ok", "no_face")),
        num_faces=summary.num_faces,
        wall_s=summary.seconds,
        core_s=core_s,
    )


def result_table(results: dict[str, list[LoopResult]]) -> Table:
    """Return speeds, and how many times as fast ingest is as each loop, by time and by core-seconds."""
    rows = []
    for name, rounds in results.items():
        row = [
            name,
            f"{median(r.num_photos / r.wall_s for r in rounds):.2f}",
            f"{median(r.num_faces / r.wall_s for r in rounds):.2f}",
            f"{median(r.core_s for r in rounds):.1f}",
        ]
        for ours in (INGEST, INGEST_INT8):
            if ours not in results or name in (INGEST, INGEST_INT8):
                row.append("")
                continue
            pairs = list(zip(results[ours], rounds, strict=True))
            faster = median(mine.num_photos / mine.wall_s * r.wall_s / r.num_photos for mine, r in pairs)
            cheaper = median(r.core_s / mine.core_s for mine, r in pairs)
            row.append(f"{faster:.2f} ({cheaper:.2f})")
        rows.append(row)
    header = ["", "photos/s", "faces/s", "core-s", "ingest is faster (cheaper), times", "with int8"]
    return Table(header=header, rows=rows, align="lrrrrr")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", help="files, folders or quoted patterns")
    parser.add_argument(
        "--assets",
        type=Path,
        default=os.environ.get("FACESTATS_TEST_ASSETS"),
        metavar="DIR",
        help="folder of the test assets; default: FACESTATS_TEST_ASSETS",
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--no-int8", action="store_true", help="leave out the int8 encoder")
    arguments = parser.parse_args()
    if arguments.assets is None:
        parser.error("--assets, or FACESTATS_TEST_ASSETS, must name the folder of the test assets")
    if arguments.rounds < 1:
        parser.error(f"--rounds is {arguments.rounds}, expected 1 or more")
    try:
        paths = [Path(os.fsdecode(path)) for path in find_photos(arguments.photos).paths]
        packs = {INGEST: fp32_pack(arguments.assets)}
        if not arguments.no_int8:
            packs[INGEST_INT8] = int8_pack()
    except FaceStatsError as exc:
        parser.error(str(exc))
    results: dict[str, list[LoopResult]] = {name: [] for name in (*LOOPS, *packs)}
    for number in range(1, arguments.rounds + 1):
        for name, rounds in results.items():
            if name in packs:
                rounds.append(measured_ingest(arguments.photos, packs[name]))
            else:
                # A process of its own: threads and memory of torch end with it.
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    rounds.append(pool.submit(measure, name, packs[INGEST], paths).result())
            done = rounds[-1]
            say(f"round {number} of {arguments.rounds}: {name}: {done.wall_s:.1f} s, {done.core_s:.1f} core-s")
    print_machine(PACKAGES)
    ours = results[INGEST][0]
    print(f"photos: {ours.num_photos} with {ours.num_faces} faces; CLIP ViT-B/32 with seeded random weights")
    print(f"\n{markdown(result_table(results))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
