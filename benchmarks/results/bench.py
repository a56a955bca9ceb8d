"""Resuming, compacting, the master table and reading back: how long, and in how much memory, on results of any size?

    python benchmarks/results/bench.py --photos 10000000
    python benchmarks/results/bench.py --photos 500000 --faces-per-photo 2 --width 192

Makes synthetic results, one photo in a hundred done twice, and runs each question in a process of its own, then those
of the same results after `fsclient table compact`. The goals, 1 GB at most for each and 60 s for resuming ten million
photos, are those of an ordinary machine with two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from fsdata.compaction.compacting import compact
from fsdata.results import open_results
from fsdata.results.ledger import read_ledger
from fsdata.results.master_table import build_table, describe

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from synthetic_results import SyntheticResults

from machine import installed_versions, num_cores, processor

PACKAGES = ("facestats", "numpy", "pyarrow")
KEYS_AT_A_TIME = 65536


def load(folder: Path, _: SyntheticResults) -> int:
    """Open the results and no more; what the other questions are compared with."""
    return len(open_results(folder).paths)


def keys(_: Path, made: SyntheticResults) -> int:
    """Make the keys that `resume` decides for, and no more; its time holds theirs."""
    return sum(1 for _ in made.photo_keys())


def resume(folder: Path, made: SyntheticResults) -> int:
    """Read the ledger, decide for every photo, and return how many are done."""
    ledger = read_ledger(folder)
    remaining = made.photo_keys()
    done = 0
    while batch := list(islice(remaining, KEYS_AT_A_TIME)):
        done += sum(status is not None for status in ledger.statuses_of(batch))
    return done


def table(folder: Path, _: SyntheticResults) -> int:
    """Build the master table and return its rows."""
    return int(pq.read_metadata(build_table(folder)).num_rows)


def scan(folder: Path, _: SyntheticResults) -> int:
    """Read every column of every face and return how many there are."""
    return sum(batch.num_rows for batch in open_results(folder).scan())


def embeddings(folder: Path, _: SyntheticResults) -> int:
    """Read every embedding and return how many there are."""
    return sum(len(numbers) for _, numbers in open_results(folder).embeddings())


def info(folder: Path, _: SyntheticResults) -> int:
    """Describe the results, as `table info` does, and return the photos."""
    return describe(folder).statuses.total()


def compacted(folder: Path, _: SyntheticResults) -> int:
    """Make few large parts of all, and return the photos."""
    return compact(folder).num_photos


QUESTIONS: dict[str, Callable[[Path, SyntheticResults], int]] = {
    question.__name__: question for question in (load, keys, resume, table, info, scan, embeddings, compacted)
}


def expected_count(question: str, made: SyntheticResults, num_parts: int) -> int:
    """Return what a question must answer."""
    if question == "load":
        return num_parts
    return made.num_faces if question in {"table", "scan", "embeddings"} else made.photos


def asked(made: SyntheticResults) -> list[str]:
    """Return the questions that such results can be asked, and that leave them as they are."""
    return [name for name in QUESTIONS if name != "compacted" and (made.width or name != "embeddings")]


def measure(question: str, folder: Path, arguments: Iterable[str]) -> dict[str, float]:
    """Return count, seconds, cpu_s and peak_bytes of a question, answered in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--out", str(folder), "--only", question]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def answer(question: str, folder: Path, made: SyntheticResults) -> dict[str, float]:
    """Return count, seconds, cpu_s and peak_bytes of a question, answered in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    count = QUESTIONS[question](folder, made)
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "count": count,
        "seconds": seconds,
        "cpu_s": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,  # Linux gives KiB
    }


def report(folder: Path, made: SyntheticResults, arguments: list[str]) -> None:
    """Make the results where they are not there yet, ask every question, and print rows.

    Raises:
        SystemExit: A count is wrong.
    """
    print("machine ", processor(), f"{num_cores()} cores")
    print("versions", *(f"{name} {version}" for name, version in installed_versions(PACKAGES).items()))
    if not folder.is_dir() or not any(folder.iterdir()):
        started = time.perf_counter()
        made.write(folder)
        print(f"made     in {time.perf_counter() - started:.1f} s")
    width = f"embeddings of {made.width}" if made.width else "no embeddings"
    print(f"results  {made.photos} photos, {made.num_faces} faces, {width}")
    ask(asked(made), folder, made, arguments)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="compacted-") as name:
        copy = Path(name)
        for path in folder.glob("part-*.parquet"):
            os.link(path, copy / path.name)  # a part is removed and never written into
        ask(["compacted"], copy, made, arguments)
        ask([question for question in asked(made) if question != "keys"], copy, made, arguments)


def ask(questions: Iterable[str], folder: Path, made: SyntheticResults, arguments: list[str]) -> None:
    """Ask questions of a folder, and print a row for each.

    Raises:
        SystemExit: A count is wrong.
    """
    sizes = [path.stat().st_size for path in folder.glob("part-*.parquet")]
    num_bytes = sum(sizes)
    print(f"\n{len(sizes)} parts, {num_bytes / 1e9:.2f} GB")
    print(f"{'question':12}{'count':>12}{'seconds':>10}{'cpu s':>10}{'us each':>10}{'peak MB':>10}{'of parts':>10}")
    for question in questions:
        found = measure(question, folder, arguments)
        expected = expected_count(question, made, len(sizes))
        if found["count"] != expected:
            raise SystemExit(f"{question} counted {found['count']:.0f}, expected {expected}")
        each_us = 1e6 * found["seconds"] / max(found["count"], 1)
        print(
            f"{question:12}{found['count']:12.0f}{found['seconds']:10.2f}{found['cpu_s']:10.2f}{each_us:10.2f}"
            f"{found['peak_bytes'] / 1e6:10.0f}{found['peak_bytes'] / num_bytes:10.2f}",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--faces-per-photo", type=int, default=1, help="of nine photos in ten; the tenth has none")
    parser.add_argument("--width", type=int, default=0, help="of the embeddings; 0 for none")
    parser.add_argument("--part-size", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="keep the results here, or take those that lie here")
    parser.add_argument("--only", choices=QUESTIONS, help="answer one question in this process, as JSON")
    given = parser.parse_args(arguments)
    made = SyntheticResults(
        photos=given.photos,
        repeated=given.photos // 100,
        faces_per_photo=given.faces_per_photo,
        width=given.width,
        part_size=given.part_size,
    )
    if given.only:
        print(json.dumps(answer(given.only, given.out, made)))
    elif given.out:
        report(given.out, made, arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            report(Path(folder) / "results", made, arguments)


if __name__ == "__main__":
    main()
