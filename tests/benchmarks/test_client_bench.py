"""The client's benchmark as a command: the stub server answers a real ingest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "client" / "bench.py"


def test_it_prints_what_a_photo_costs_by_several_processes() -> None:
    options = ("--photos", "140", "--processes", "2", "--in-flight", "16", "--rounds", "1")
    done = subprocess.run([sys.executable, str(BENCH), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    header, _, row = done.stdout.splitlines()[-3:]
    assert header == "| processes | core-ms a photo | photos/s |"
    assert row.startswith("| 2 | ")
