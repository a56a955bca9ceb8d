"""The commands of docs/guides/training.md, as a new user types them, on UTKFace's chips."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.triton

TIMEOUT_S = 600

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command of the project in a folder and with a store of its own; returns what it prints for people."""

    def call(program: str, *arguments: str, exit_code: int = 0) -> str:
        package = {"fsclient": "fsclient", "fsdata": "fsdata", "fstrain": "fstraining"}[program]
        command = [sys.executable, "-c", f"from {package}.cli import main; main()", *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "FACESTATS_MODELS": str(tmp_path / "models")},
        )
        assert done.returncode == exit_code, done.stderr
        return done.stderr + done.stdout

    return call


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in pq.read_table(folder).to_pylist()}


def test_the_whole_chain(run: Run, shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="LightGBM trains the ethnicity head")
    pytest.importorskip("matplotlib", reason="matplotlib draws the reports")
    shutil.copytree(shared / "samples" / "labelled" / "utkface", tmp_path / "utkface")
    run("fsdata", "check", "utkface")
    run("fsclient", "ingest", "utkface", "--out", "results")
    before = rows_of(tmp_path / "results")
    common = ("--results", "results", "--labels", "utkface", "--licence", "research only")
    run("fstrain", "ethnicity", *common, "--out", "heads/ethnicity")
    run("fstrain", "age-gender", *common, "--out", "heads/age_gender")
    for head in ("ethnicity", "age_gender"):
        report = json.loads((tmp_path / "heads" / head / "report" / "report.json").read_text())
        assert report["data"]["licence"] == "research only"
        assert report["data"]["counts"]["figures"] > 30
    changes = ("--use", "ethnicity=heads/ethnicity", "--use", "age_gender=heads/age_gender")
    refused = run("fsclient", "models", "build", "lite", *changes, "--commercial-ok", exit_code=2)
    assert "research only" in refused
    run("fsclient", "models", "build", "lite", *changes, "--name", "mine")
    (tmp_path / "utkface").rename(tmp_path / "elsewhere")  # no photo may be read from here on
    said = run("fsclient", "ingest", "--out", "results", "--refresh", "--models", "mine")
    assert "no photo was read" in said
    after = rows_of(tmp_path / "results")
    assert set(after) == set(before)
    labels = ["Asian", "Black", "Indian", "Others", "White"]
    for source, row in after.items():
        assert row["model_set_id"] != before[source]["model_set_id"]
        for face, former in zip(row["faces"], before[source]["faces"], strict=True):
            assert face["embedding"] == former["embedding"]
            assert len(face["ethnicity_probability"]) == len(labels)
            low, high = face["age_interval_years"]
            assert low <= face["age_years"] <= high
    # What is stored is what a server of the new pack says of the same photo.
    (tmp_path / "elsewhere").rename(tmp_path / "utkface")
    source = next(source for source, row in after.items() if row["status"] == "ok")
    said = run("fsclient", "score", source, "--json", "--models", "mine")
    (scored,) = json.loads(said[said.index("[\n") :])
    face = after[source]["faces"][0]
    assert set(scored["faces"][0]["ethnicity_probability"]) == set(labels)
    for name in ("ethnicity_probability", "gender_probability"):
        np.testing.assert_allclose(list(scored["faces"][0][name].values()), face[name], atol=1e-5)
    without = ("--refresh", "--models", "mine", "--without", "ethnicity")
    run("fsclient", "ingest", "--out", "results", *without)
    assert "ethnicity_probability" not in next(iter(rows_of(tmp_path / "results").values()))["faces"][0]
