"""How many stored faces a second get a new head, and how many bytes are they?

    python benchmarks/scale/refresh.py [--faces N] [--rounds N]

Makes synthetic results of `lite` without its ethnicity head, one face a photo on nine of ten, and has
`fsclient ingest --refresh` bring them to `lite` with a server that runs already: the head runs on the stored
embeddings, and no photo is read. Core-microseconds are those of the client, the head and Triton. Prints the median of
the rounds, and what a photo takes in the parts and in the master table, with embeddings and without.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "results"))

from cores_left import cores_left
from synthetic_results import SyntheticResults

from fsclient import Client
from fsclient.backend.triton import TritonBackend
from fsclient.models.name_to_repository import served_repository
from fsdata.results.master_table import build_table
from fsengine.contracts.served import EMBEDDING, ServedEnsemble
from fsengine.contracts.steps import ETHNICITY
from fsengine.packs.shipped import SHIPPED_PACK
from fsengine.server.embedded import EmbeddedServer
from fsengine.terminal.messages import say
from fsengine.terminal.tables import Table
from machine import print_machine
from markdown import markdown
from processes import machine_cpu_seconds, tree_cpu_seconds

PACKAGES = ("facestats", "nvidia-pytriton", "treelite", "numpy", "pyarrow")
STORED_PHOTOS = 50_000
"""Of results that are made to see how large they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsOf(SyntheticResults):
    """Synthetic results of what a server serves.

    Attributes:
        of_server: What it serves.
    """

    of_server: ServedEnsemble

    @property
    def served(self) -> ServedEnsemble:
        """Return what they are of."""
        return self.of_server


def served_by(server: EmbeddedServer) -> ServedEnsemble:
    """Return what a server serves."""

    async def ask() -> ServedEnsemble:
        backend = TritonBackend(server.url)
        try:
            return await backend.served()
        finally:
            await backend.close()

    return asyncio.run(ask())


def refreshed(made: SyntheticResults, server: EmbeddedServer) -> tuple[float, float, float]:
    """Return seconds, core-seconds, and cores that other programs left, of a refresh of results made anew."""
    with tempfile.TemporaryDirectory() as folder, Client(server.url) as client:
        out = Path(folder) / "results"
        made.write(out)
        machine, own, started = machine_cpu_seconds(), tree_cpu_seconds(), perf_counter()
        summary = client.ingest([], out, refresh=True)
        seconds, core_s = perf_counter() - started, tree_cpu_seconds() - own
        others = (machine_cpu_seconds() - machine - core_s) / seconds
    say(f"{summary.refreshed}: {seconds:.1f} s")
    return seconds, core_s, cores_left(others)


def bytes_of(made: SyntheticResults) -> tuple[int, int]:
    """Return what the parts of results take, and what the master table takes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results"
        made.write(out)
        parts, table = out.glob("part-*.parquet"), build_table(out).parent.glob("*.parquet")
        return sum(path.stat().st_size for path in parts), sum(path.stat().st_size for path in table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=45_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    photos = arguments.faces * 10 // 9
    with EmbeddedServer(served_repository(SHIPPED_PACK, say, without=(ETHNICITY,))) as before:
        served = served_by(before)
    made = ResultsOf(photos=photos, repeated=0, of_server=served)
    with EmbeddedServer(served_repository(SHIPPED_PACK, say)) as server:
        runs = [refreshed(made, server) for _ in range(arguments.rounds)]
    rates = [made.num_faces / seconds for seconds, _, _ in runs]
    core_us = [1e6 * core_s / made.num_faces for _, core_s, _ in runs]
    print_machine(PACKAGES)
    print(f"{made.num_faces} faces, embeddings of {served.outputs[EMBEDDING][1]}, rounds: {arguments.rounds}\n")
    row = [f"{median(rates):.0f}", f"{median(core_us):.0f}", f"{median(left for _, _, left in runs):.2f}"]
    print(markdown(Table(header=["faces/s", "core-us a face", "cores left"], rows=[row], align="rrr")))
    print()
    rows = []
    for width in (512, 0):
        sizes = bytes_of(SyntheticResults(photos=STORED_PHOTOS, width=width))
        rows.append([str(width or "none"), *(f"{size / STORED_PHOTOS:.0f}" for size in sizes)])
    header = ["embeddings", "parts, bytes a photo", "master table, bytes a photo"]
    print(markdown(Table(header=header, rows=rows, align="lrr")))


if __name__ == "__main__":
    main()
