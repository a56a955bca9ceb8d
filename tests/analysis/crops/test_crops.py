"""Crops: cut from the right place, kept once, and never shown of a photo that is not the one that was scored."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fsanalysis.crops.commands import crops
from fsanalysis.crops.crop_store import CropStore
from fsanalysis.crops.crops_of_results import iter_crops, keep_crops
from fsclient import Client
from fsdata.pictures.cutting import CROP_PX, FaceCrop, MissingCrop, cut, from_jpeg
from fsdata.pictures.photo_faces import CHANGED, GONE
from fsdata.results import open_results
from fsdata.selection.kept_crops import crop_files
from fsdata.selection.selected_faces import select_faces
from fsengine.errors import ResultsError
from fsengine.server.embedded import EmbeddedServer

pytestmark = pytest.mark.triton


@pytest.mark.parametrize("box", [(100, 80, 140, 120), (-30, -10, 60, 90), (0, 0, 400, 300), (399, 299, 400, 300)])
def test_a_point_of_the_photo_is_where_the_transform_says(box: tuple[float, ...]) -> None:
    rows, columns = np.mgrid[:300, :400]
    photo = np.stack([columns * 255 / 400, rows * 255 / 300, np.full_like(rows, 128)], axis=2).astype(np.uint8)
    image, transform = cut(photo, np.array(box))
    assert image.shape == (CROP_PX, CROP_PX, 3)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    column, row = transform[:, :2] @ (min(x, 399), min(y, 299)) + transform[:, 2]
    found = image[int(np.clip(row, 0, 223)), int(np.clip(column, 0, 223))]
    if 5 < x < 395 and 5 < y < 295:
        assert abs(int(found[0]) - x * 255 / 400) < 4
        assert abs(int(found[1]) - y * 255 / 300) < 4


def test_crops_hold_the_faces_and_are_the_same_kept_or_not(results_folder: Path) -> None:
    results = open_results(results_folder)
    faces = select_faces(results)
    cut_now = list(iter_crops(results, faces))
    assert [type(crop) for crop in cut_now] == [FaceCrop] * faces.num_rows
    made = keep_crops(results)
    assert (made.num_made, made.num_kept, made.missing) == (faces.num_rows, 0, Counter())
    again = keep_crops(results)
    assert (again.num_made, again.num_kept) == (0, faces.num_rows)
    assert len(crop_files(results_folder)) == 1
    for fresh, kept, face in zip(cut_now, iter_crops(results, faces), faces.to_pylist(), strict=True):
        assert isinstance(fresh, FaceCrop)
        assert isinstance(kept, FaceCrop)
        np.testing.assert_allclose(kept.transform, fresh.transform)
        assert np.abs(kept.image.astype(int) - fresh.image).mean() < 4  # JPEG
        # The middle of the box is the middle of the crop, but for whole pixels.
        centre = fresh.points(np.array([[(face["x0"] + face["x1"]) / 2, (face["y0"] + face["y1"]) / 2]]))
        np.testing.assert_allclose(centre, [[CROP_PX / 2] * 2], atol=2 + CROP_PX / (face["x1"] - face["x0"]))


def test_turned_photos_are_cut_upright(lite_server: EmbeddedServer, photos: Path, tmp_path: Path) -> None:
    with Image.open(photos / "obama.jpg") as photo:
        small = photo.convert("RGB").resize((320, 400))
    exif = Image.Exif()
    exif[0x0112] = 6
    small.save(tmp_path / "upright.png")
    small.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    with Client(lite_server.url) as client:
        client.ingest([tmp_path], out=tmp_path / "results")
    results = open_results(tmp_path / "results")
    turned, upright = iter_crops(results, select_faces(results))
    assert isinstance(turned, FaceCrop)
    assert isinstance(upright, FaceCrop)
    assert np.abs(turned.image.astype(int) - upright.image).mean() < 6


def test_a_photo_that_is_gone_or_another_one_is_left_out_with_its_reason(scored: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("obama.jpg", "hopper.jpg"):
        shutil.copy(scored / name, folder / name)
    shutil.copytree(scored / "results", tmp_path / "results")
    results = open_results(tmp_path / "results")
    faces = select_faces(results, "source LIKE '%obama%' OR source LIKE '%hopper%'")
    moved = faces.set_column(
        0, "source", [[source.replace(str(scored), str(folder)) for source in faces["source"].to_pylist()]]
    )
    (folder / "obama.jpg").unlink()
    shutil.copy(scored / "obama.jpg", folder / "hopper.jpg")
    found = {crop.source.rpartition("/")[2]: crop for crop in iter_crops(results, moved)}
    assert isinstance(found["obama.jpg"], MissingCrop)
    assert isinstance(found["hopper.jpg"], MissingCrop)
    assert (found["obama.jpg"].reason, found["hopper.jpg"].reason) == (GONE, CHANGED)


def test_the_command_says_what_it_kept_and_where(results_folder: Path) -> None:
    done = CliRunner().invoke(crops, [str(results_folder), "--where", "source LIKE '%obama%'"])
    assert done.exit_code == 0, done.output
    assert "1 face cut out, 0 there already" in done.output
    assert "remove" in done.output
    store = CropStore(results_folder)
    assert len(store) == 1
    (face,) = select_faces(open_results(results_folder), "source LIKE '%obama%'").to_pylist()
    jpeg = store.jpeg(face["source"], face["content_hash"], face["face_index"])
    assert jpeg is not None
    assert from_jpeg(jpeg).shape == (CROP_PX, CROP_PX, 3)
    assert store.read(face["source"], "another hash", face["face_index"]) is None


def test_a_damaged_file_of_crops_is_named(results_folder: Path) -> None:
    keep_crops(open_results(results_folder), where="source LIKE '%obama%'")
    (path,) = crop_files(results_folder)
    whole = path.read_bytes()
    for damaged in (whole[:100], b"", whole[:-50]):
        path.write_bytes(damaged)
        with pytest.raises(ResultsError, match=r"crops-000001.parquet.*fsclient crops"):
            CropStore(results_folder)
