"""A real pack's changed head is brought to stored results by the command, without the photos."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from fsclient.backend.server_choice import ServerChoice, open_server
from fsdata.results.master_table import build_table
from fsdata.results.parts import part_paths
from fsdata.sample_photos import sample_folder
from fsengine.files.hashing import file_sha256
from fsengine.packs.pack import read_pack, write_pack
from fsengine.packs.shipped import shipped_folder
from fsengine.server.embedded import EmbeddedServer
from refresh_for_tests import (
    rows_of,
)


def fsclient(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)


def pack_with_another_ethnicity_head(embeddings: NDArray[np.float32], folder: Path) -> Path:
    """Return a copy of the lite pack whose ethnicity forest was fitted to something else."""
    from fsexport.heads.trees import export_trees
    from fstraining.fits.forest import fit_classifier

    shutil.copytree(shipped_folder("packs") / "lite", folder)
    pack = read_pack(folder)
    features = np.tile(embeddings, (4, 1))
    labels = np.arange(len(features), dtype=np.int64) % len(pack.labels["ethnicity"])
    booster = fit_classifier(features, labels, len(pack.labels["ethnicity"]), rounds=5, leaves=4, seed=1)
    head = pack.models["ethnicity"]
    (folder / head.file).unlink()
    export_trees(booster, folder / head.file)
    head = replace(head, sha256=file_sha256(folder / head.file))
    write_pack(replace(pack, models={**pack.models, "ethnicity": head}), folder)
    return folder


@pytest.mark.triton
def test_a_changed_head_of_a_real_pack_is_brought_in_without_the_photos(
    tmp_path: Path, fsclient_command: list[str], lite_server: EmbeddedServer
) -> None:
    pytest.importorskip("lightgbm")
    photos, out, fresh = tmp_path / "photos", tmp_path / "out", tmp_path / "fresh"
    shutil.copytree(sample_folder(), photos)
    at_server = ("--server", lite_server.url)
    first = fsclient(fsclient_command, "ingest", photos, "--out", out, "--part-size", "4", *at_server)
    assert first.returncode == 0, first.stderr
    lacking = tmp_path / "lacking"
    assert not fsclient(fsclient_command, "ingest", photos, "--out", lacking, "--without", "age_gender").returncode
    before = rows_of(out)
    embeddings = np.array([face["embedding"] for row in before.values() for face in row["faces"]], np.float32)
    pack = pack_with_another_ethnicity_head(embeddings, tmp_path / "pack")
    with open_server(ServerChoice(models=str(pack)), print) as server:
        plain = fsclient(fsclient_command, "ingest", photos, "--out", fresh, "--server", server.url)
        assert plain.returncode == 0, plain.stderr
        photos.rename(tmp_path / "away")
        refused = fsclient(fsclient_command, "ingest", tmp_path / "away", "--out", out, "--server", server.url)
        assert refused.returncode == 1
        assert "--refresh to bring them to it" in refused.stderr
        shutil.copytree(out, tmp_path / "killed")
        arguments = ["ingest", "--refresh", "--server", server.url, "--out"]
        done = fsclient(fsclient_command, *arguments, out)
        kill_while_staged([*fsclient_command, *arguments, str(tmp_path / "killed")], tmp_path / "killed")
        again = fsclient(fsclient_command, *arguments, tmp_path / "killed")
        added = fsclient(fsclient_command, *arguments, lacking)
    assert done.returncode == 0, done.stderr
    assert "refreshed: ethnicity, age_gender on" in added.stderr
    for name, row in rows_of(fresh).items():
        for one, other in zip(rows_of(lacking)[name]["faces"], row["faces"], strict=True):
            assert list(one) == list(other)
            # ONNX Runtime sums in another order in a batch of another size.
            np.testing.assert_allclose(one["age_years"], other["age_years"], atol=1e-3)
            np.testing.assert_allclose(one["gender_probability"], other["gender_probability"], atol=1e-5)
    faces = len(embeddings)
    assert f"refreshed: ethnicity on {faces:,} faces of 11 photos, no photo was read" in done.stderr
    assert again.returncode == 0, again.stderr
    for folder in (out, tmp_path / "killed"):
        assert_like_fresh(rows_of(folder), rows_of(fresh), before)
        assert len(part_paths(folder)) == 3
        assert not list(folder.glob(".refresh-*"))
        assert pq.read_schema(part_paths(folder)[0]).equals(pq.read_schema(part_paths(fresh)[0]), check_metadata=True)
    assert pq.read_table(build_table(out)).num_rows == faces
    found, old = rows_of(out)["hopper.jpg"]["faces"][0], before["hopper.jpg"]["faces"][0]
    assert np.abs(np.subtract(found["ethnicity_probability"], old["ethnicity_probability"])).max() > 1e-3


def assert_like_fresh(
    found: dict[str, dict[str, Any]], fresh: dict[str, dict[str, Any]], before: dict[str, dict[str, Any]]
) -> None:
    assert found.keys() == fresh.keys() == before.keys()
    for name, row in fresh.items():
        for column in row.keys() - {"faces", "read_ms", "infer_ms", "mtime_ns"}:
            assert found[name][column] == row[column], (name, column)
        for column in ("read_ms", "infer_ms", "mtime_ns"):
            assert found[name][column] == before[name][column]
        for one, other in zip(found[name]["faces"], row["faces"], strict=True):
            assert list(one) == list(other)
            for column in one:
                tolerance = 1e-5 if column == "ethnicity_probability" else 0
                # The same graphs on the same photos; only the head was run in other batches.
                np.testing.assert_allclose(one[column], other[column], rtol=0, atol=tolerance, err_msg=column)


def kill_while_staged(command: list[str], out: Path) -> None:
    """Kill a refresh as soon as it has staged something."""
    victim = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and victim.poll() is None and not list(out.glob(".refresh-*/part-*.parquet")):
        time.sleep(0.001)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
