"""The benchmark of the bare limit as a command, on two photos: what it counts, never what it times."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "limit" / "bench.py"


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.triton
def test_bare_steps_and_ingest_do_the_same_work(tmp_path: Path, photos: Path) -> None:
    for name in ("nvidia.dali", "onnxruntime", "treelite"):
        pytest.importorskip(name)
    for name in ("obama.jpg", "coffee.jpg"):
        shutil.copy(photos / name, tmp_path)
    (tmp_path / "cut.jpg").write_bytes((photos / "obama.jpg").read_bytes()[:2000])
    done = bench(tmp_path, "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert "photos: 2 with 1 faces" in done.stdout
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    names = [row[0] for row in rows]
    assert names[0] == "step"
    assert names[2:6] == ["gate", "decode", "detect", "align"]
    assert "embed" in names
    assert names[-3:] == ["server", "client", "all"]
    # A step has a figure on both sides, what lies around the steps has none alone.
    assert {row[0] for row in rows[2:] if not row[1]} == {"server", "client"}
    for said in ("machine: ", "onnxruntime ", "share of the limit ", "memory "):
        assert said in done.stdout


def test_what_cannot_be_meant_is_refused_before_anything_runs(photos: Path) -> None:
    done = bench(photos, "--rounds", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--rounds is 0, expected 1 or more" in done.stderr
