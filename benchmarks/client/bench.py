"""What does a photo cost the client, and how many photos a second can it offer?

    python benchmarks/client/bench.py [--photos 4000] [--processes 1,2] [--in-flight 64] [--rounds 3]

Runs `fsclient ingest` on copies of a photo, each of 300 kB and with bytes of its own, against a server that answers at
once (`stub_server.py`), which runs on the same machine. Core-milliseconds are those of the command and its workers,
user and system, beyond what the same command takes for the first hundred photos: reading, SHA-256, header, request,
rows and Parquet. Prints the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fsclient.models.name_to_repository import served_repository
from fsdata.results import open_results
from fsdata.sample_photos import sample_folder
from fsengine.terminal.tables import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import print_machine
from markdown import markdown

PACKAGES = ("facestats", "grpcio", "tritonclient", "protobuf", "numpy", "pyarrow")
PHOTO_BYTES = 300_000
FEW = 100
"""Photos of a run that shows what starting takes."""

_FSCLIENT = [sys.executable, "-c", "from fsclient.cli import main; main()"]


@dataclass(frozen=True)
class Run:
    """What one ingest took, starting included.

    Attributes:
        core_s: Core-seconds of all its processes.
        seconds: Its time.
    """

    core_s: float
    seconds: float


def write_photos(folder: Path, number: int) -> None:
    """Write copies of a photo, filled up to their size behind its end with bytes that no other has."""
    photo = (sample_folder() / "obama.jpg").read_bytes()
    assert len(photo) < PHOTO_BYTES - 8
    filling = os.urandom(PHOTO_BYTES - len(photo) - 8)
    folder.mkdir()
    for index in range(number):
        (folder / f"{index:06d}.jpg").write_bytes(photo + filling + index.to_bytes(8, "big"))


@contextmanager
def stub_server() -> Iterator[str]:
    """Give the address of a running stub server."""
    repository = served_repository("lite", print)
    command = [sys.executable, str(Path(__file__).parent / "stub_server.py"), str(repository)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


def ingest(photos: Path, server: str, limit: int, options: list[str]) -> Run:
    """Ingest the first photos of a folder and return what it took."""
    with tempfile.TemporaryDirectory() as out:
        command = [*_FSCLIENT, "ingest", str(photos), "--out", out, "--server", server, "--limit", str(limit), *options]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or (found := open_results(out).photos().num_rows) != limit:
            raise SystemExit(f"the ingest failed ({done.returncode}): {done.stderr or found}")
    core_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Run(core_s=core_s, seconds=seconds)


def measure(photos: Path, server: str, number: int, options: list[str]) -> tuple[float, float]:
    """Return core-milliseconds a photo, and photos a second, beyond starting."""
    few, many = (ingest(photos, server, limit, options) for limit in (FEW, number))
    return 1e3 * (many.core_s - few.core_s) / (number - FEW), (number - FEW) / (many.seconds - few.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=4000)
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.photos <= FEW:
        parser.error(f"--photos is {arguments.photos}, expected more than {FEW}")
    print_machine(PACKAGES)
    numbers = arguments.processes.split(",")
    found: dict[str, list[tuple[float, float]]] = {number: [] for number in numbers}
    with tempfile.TemporaryDirectory() as folder, stub_server() as server:
        photos = Path(folder) / "photos"
        write_photos(photos, arguments.photos)
        for _ in range(arguments.rounds):
            for number in numbers:
                options = ["--concurrency", str(arguments.in_flight), "--processes", number]
                found[number].append(measure(photos, server, arguments.photos, options))
    rows = []
    for number, runs in found.items():
        core_ms, speed = map(statistics.median, zip(*runs, strict=True))
        rows.append([number, f"{core_ms:.2f}", f"{speed:.0f}"])
    print(markdown(Table(header=["processes", "core-ms a photo", "photos/s"], rows=rows, align="lrr")))


if __name__ == "__main__":
    main()
