"""The benchmark of int8 as a command, with the cosine given: what it counts, never how fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "int8" / "bench.py"
KINDS = ("random", "toward another face", "the same for all faces")


def movements(assets: Path, cosine: str) -> dict[str, list[float]]:
    command = [sys.executable, str(BENCH), str(assets), "--cosine", cosine]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "412 embeddings, 20 draws" in done.stdout
    rows = {kind: line for kind in KINDS for line in done.stdout.splitlines() if line.startswith(kind)}
    assert set(rows) == set(KINDS)
    return {kind: [float(cell.rstrip("%")) for cell in line.removeprefix(kind).split()] for kind, line in rows.items()}


def test_heads_move_with_the_error_and_stay_without_one(shared: Path) -> None:
    pytest.importorskip("torch", reason="torch reads the saved heads")
    assert all(value == 0 for moved in movements(shared, "1").values() for value in moved)
    less, more = movements(shared, "0.9999"), movements(shared, "0.99")
    for kind in KINDS:
        assert all(0 < low < high for low, high in zip(less[kind], more[kind], strict=True)), kind
