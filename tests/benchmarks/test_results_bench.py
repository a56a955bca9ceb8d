"""The benchmark of results as a command, on a few hundred photos: what it counts, never how fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "bench.py"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_every_question_is_answered_with_the_count_of_what_was_made(tmp_path: Path) -> None:
    arguments = ["--photos", "300", "--faces-per-photo", "2", "--part-size", "50", "--width", "6"]
    done = bench(*arguments, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    counts = [(row[0], int(row[1])) for row in rows if len(row) == 7 and row[1].isdigit()]
    # 300 photos and 3 of them again, in parts of 50; a tenth of the photos has no face.
    read = {"resume": 300, "table": 540, "info": 300, "scan": 540, "embeddings": 540}
    before = {"load": 7, "keys": 300, **read}
    assert dict(counts[: len(before)]) == before
    assert dict(counts[len(before) :]) == {"compacted": 300, "load": 1, **read}
    assert "machine " in done.stdout
    assert "pyarrow" in done.stdout
    # The results that were kept are taken again, and a wrong count is an error.
    wrong = bench(*arguments, "--photos", "310", "--out", str(tmp_path / "out"))
    assert wrong.returncode == 1
    assert "resume counted 300, expected 310" in wrong.stderr
