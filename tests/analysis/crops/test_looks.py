"""Photos that look the same: found through resizing and new compression, and as files for other programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fsanalysis.crops.crops_of_results import keep_crops
from fsclient import Client
from fsclient.cli import main
from fsdata.pictures.cutting import photo_hash
from fsdata.results import open_results
from fsdata.selection.kept_crops import bits_apart
from fsengine.server.embedded import EmbeddedServer


def hash_of(image: Image.Image) -> np.ndarray:
    return np.array([photo_hash(np.asarray(image.convert("RGB")))], np.uint64)


def test_a_copy_changes_few_bits_and_another_photo_many(photos: Path) -> None:
    first, other = Image.open(photos / "astronaut.jpg"), Image.open(photos / "obama.jpg")
    written = io.BytesIO()
    first.convert("RGB").save(written, "JPEG", quality=30)
    for copy in (first.resize((first.width // 3, first.height // 3)), Image.open(written)):
        assert bits_apart(hash_of(first), hash_of(copy))[0] <= 4
    assert bits_apart(hash_of(first), hash_of(other))[0] > 15
    assert hash_of(Image.new("RGB", (8, 8)))[0] >= 0


@pytest.mark.triton
def test_a_smaller_copy_is_found_and_crops_are_written(
    lite_server: EmbeddedServer, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("astronaut.jpg", "obama.jpg"):
        shutil.copy(photos / name, folder)
    image = Image.open(photos / "astronaut.jpg")
    image.resize((image.width * 2 // 3, image.height * 2 // 3)).save(folder / "smaller.jpg", quality=60)
    out = tmp_path / "results"
    with Client(lite_server.url) as client:
        client.ingest([folder], out=out)
    refused = CliRunner().invoke(main, ["table", "export", str(out), "--format", "crops", "--out", str(tmp_path / "c")])
    assert refused.exit_code == 2
    assert "fsclient crops" in refused.output
    assert not (tmp_path / "c").exists()
    keep_crops(open_results(out))
    shown = CliRunner().invoke(main, ["table", "duplicates", str(out), "--near", "--json"])
    assert shown.exit_code == 0, shown.output
    assert [Path(row["source"]).name for row in json.loads(shown.stdout)] == ["astronaut.jpg", "smaller.jpg"]
    words = ["table", "export", str(out), "--format", "crops", "--where", "x1 > 0", "--out", str(tmp_path / "c")]
    written = CliRunner().invoke(main, words)
    assert written.exit_code == 0, written.output
    with (tmp_path / "c" / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["source"]).name for row in rows] == ["astronaut.jpg", "obama.jpg", "smaller.jpg"]
    assert all(Image.open(tmp_path / "c" / row["file"]).size == (224, 224) for row in rows)
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 2
    assert "not an empty folder" in again.output
