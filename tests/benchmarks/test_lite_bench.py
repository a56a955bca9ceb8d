"""The benchmark of what a pack finds and says, on every 40th photo and crop: what it counts, never how good it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "lite" / "bench.py"
EVERY = 40


@pytest.mark.triton
def test_every_head_is_measured_on_every_crop_with_a_face(shared: Path) -> None:
    pytest.importorskip("scipy")
    command = [sys.executable, str(BENCH), str(shared), "--every", str(EVERY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("machine: ")
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    # 819 labelled crops, 504 of them of FairFace
    crops = {row[0].split(":")[0] for row in rows if "a face, exactly one" in row[0]}
    assert crops == {"13 crops of fairface", "8 crops of utkface"}
    heads = {(row[0], row[1]): int(row[2]) for row in rows if row[0] in ("fairface", "utkface") and row[2].isdigit()}
    assert {name for _, name in heads} >= {"gender", "age, years off", "ethnicity, likeliest class"}
    for dataset, crops_of_it, adult in (("fairface", 13, 20), ("utkface", 8, 18)):
        assert crops_of_it - 2 <= heads[dataset, "gender"] == heads[dataset, "age, years off"] <= crops_of_it
        assert heads[dataset, f"gender, {adult} and older"] < heads[dataset, "gender"]
    groups = [row for row in rows if row[0] in ("gender", "age", "ethnicity")]
    for attribute in ("gender", "age", "ethnicity"):
        assert sum(int(row[2]) for row in groups if row[0] == attribute) == heads["fairface", "gender"]
    people = [row for row in rows if row[0] in ("as stored, 192 numbers", "the first 128 of them alone")]
    assert len(people) == 2
    assert all("(5)" in row[1] and "(92)" in row[2] for row in people)
