"""What does a server answer that is asked for more than it can do, and is it well again at once?

    python benchmarks/load/bench.py [--models PACK] [--seconds 10] [--rounds 3]

Starts the embedded server as `fsclient serve` does, finds its capacity with eight clients that ask one photo after
another, offers it 1, 2 and 10 times as much, and then half of it. Every request has a deadline of 4 s. Goodput is what
is answered a second while requests come in. The caller runs on the same machine and takes its share of it. Prints the
median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import statistics
import sys
from pathlib import Path

from PIL import Image

from fsclient.models.name_to_repository import served_repository
from fsdata.sample_photos import sample_folder
from fsengine.server.embedded import EmbeddedServer
from fsengine.server.listening import Listening
from fsengine.terminal.tables import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from offered import ANSWERED, Caller, Outcome, closed_loop, error_counts, open_loop

from machine import print_machine
from markdown import markdown

PACKAGES = ("facestats", "nvidia-pytriton", "onnxruntime")
LOADS = (1.0, 2.0, 10.0)
CLIENTS = 8
SIDE_PX = 160
AFTERWARDS = "0.5, afterwards"


def small_photo() -> bytes:
    """Return a JPEG of 160 x 160 pixels with a face."""
    stored = io.BytesIO()
    with Image.open(sample_folder() / "obama.jpg") as photo:
        photo.convert("RGB").resize((SIDE_PX, SIDE_PX)).save(stored, "JPEG", quality=90)
    return stored.getvalue()


async def one_round(url: str, photo: bytes, seconds: float) -> tuple[float, dict[str, Outcome]]:
    """Return the capacity and what became of each load."""
    caller = Caller(url, photo)
    try:
        await closed_loop(caller, CLIENTS, seconds / 2)  # warms up
        capacity = (await closed_loop(caller, CLIENTS, seconds)).goodput
        loads = {}
        for load in LOADS:
            loads[f"{load:g}"] = await open_loop(caller, load * capacity, seconds)
        loads[AFTERWARDS] = await open_loop(caller, 0.5 * capacity, seconds / 2)
        return capacity, loads
    finally:
        await caller.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="lite")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print_machine(PACKAGES)
    repository, photo = served_repository(arguments.models, print), small_photo()
    with EmbeddedServer(repository, listening=Listening()) as server:
        rounds = [asyncio.run(one_round(server.url, photo, arguments.seconds)) for _ in range(arguments.rounds)]
    print(f"capacity: {statistics.median(capacity for capacity, _ in rounds):.1f} photos/s")
    rows = []
    for load in rounds[0][1]:
        outcomes = [(capacity, loads[load]) for capacity, loads in rounds]
        share = statistics.median(outcome.goodput / capacity for capacity, outcome in outcomes)
        asked = sum(outcome.requests for _, outcome in outcomes)
        answered = sum(outcome.counts[ANSWERED] for _, outcome in outcomes)
        latency = statistics.median(outcome.median_s for _, outcome in outcomes)
        refused = ", ".join(f"{n} {text}" for text, n in error_counts([o for _, o in outcomes]).most_common())
        rows.append([load, f"{asked}", f"{answered}", f"{share:.2f}", f"{1e3 * latency:.0f}", refused or "none"])
    header = ["offered, times capacity", "requests", "answered", "goodput / capacity", "median ms", "not answered"]
    print(markdown(Table(header=header, rows=rows, align="lrrrrl")))


if __name__ == "__main__":
    main()
