"""The comparison with loops of one's own as a command, on two photos: what it counts, never what it times."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from built_full_size_pack import built_full_size_pack

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "peers" / "bench.py"


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.triton
def test_every_loop_and_ingest_describe_the_same_faces(tmp_path: Path, photos: Path, shared: Path) -> None:
    for name in ("nvidia.dali", "onnxruntime", "treelite", "torch"):
        pytest.importorskip(name)
    built_full_size_pack(shared)
    for name in ("obama.jpg", "coffee.jpg"):
        shutil.copy(photos / name, tmp_path)
    done = bench(tmp_path, "--assets", shared, "--rounds", "1", "--no-int8")
    assert done.returncode == 0, done.stderr
    assert "photos: 2 with 1 faces; CLIP ViT-B/32 with seeded random weights" in done.stdout
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if line.startswith("| ")]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows[2:]}
    faces_of_a_photo = {name: float(row[1]) / float(row[0]) for name, row in cells.items()}
    # Two photos, one of which has a face; the loop that detects none describes both.
    assert faces_of_a_photo == {
        "no detection, CLIP twice a photo": pytest.approx(1.0, rel=0.05),
        "face by face": pytest.approx(0.5, rel=0.05),
        "the faces of a photo in one batch": pytest.approx(0.5, rel=0.05),
        "ingest": pytest.approx(0.5, rel=0.05),
    }
    assert all(row[3] for name, row in cells.items() if name != "ingest")


def test_the_assets_must_be_there(tmp_path: Path, photos: Path) -> None:
    pytest.importorskip("torch")
    done = bench(photos, "--assets", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a complete folder of test assets" in done.stderr
