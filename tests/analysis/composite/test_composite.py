"""Composites of real faces, by the command and by the functions behind it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fsanalysis.composite.captioned import panels, with_caption
from fsanalysis.composite.cohort import COPY, Cohort
from fsanalysis.composite.commands import composite
from fsanalysis.composite.eigenfaces import make_eigenfaces
from fsanalysis.composite.light import to_linear
from fsanalysis.composite.mean_face import make_composite
from fsanalysis.composite.mesh.face_mesh import FaceMesh
from fsanalysis.composite.preparation import Preparation
from fsanalysis.crops.crops_of_results import iter_crops, keep_crops
from fsdata.pictures.cutting import FaceCrop
from fsdata.results import open_results
from fsdata.results.reading import Results
from fsdata.selection.selected_faces import select_faces
from fsengine.errors import InvalidInputError

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def results(scored: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Results with crops; those of `scored` have none, as other tests ask for."""
    found = open_results(Path(shutil.copytree(scored / "results", tmp_path_factory.mktemp("composite") / "results")))
    keep_crops(found)
    return found


def run(results: Results, out: Path, *words: str) -> Result:
    folder = str(results.folder)
    return CliRunner().invoke(composite, [folder, "--out", str(out), "--per-photo", "40", *words])


def test_the_mesh_lies_on_the_face(results: Results) -> None:
    faces = select_faces(results, "source LIKE '%obama%'")
    (crop,) = iter_crops(results, faces)
    assert isinstance(crop, FaceCrop)
    given = crop.points(np.array(faces["landmarks"][0].as_py()).reshape(5, 2))
    (found,) = FaceMesh().find([crop.image], [given])
    assert found.present
    assert abs(found.turned) < 0.4
    # Outer and inner corners of the eyes, the tip of the nose, the corners of the mouth.
    for mesh, landmark in (([33, 133], 0), ([263, 362], 1), ([1], 2), ([61], 3), ([291], 4)):
        assert np.linalg.norm(found.points[mesh].mean(axis=0) - given[landmark]) < 12
    (nothing,) = FaceMesh().find([np.full((224, 224, 3), 90, np.uint8)], [given])
    assert not nothing.present


def test_the_mesh_is_the_one_in_the_wheel(tmp_path: Path) -> None:
    wheel = os.environ.get("FACESTATS_MEDIAPIPE_WHEEL")
    if not wheel:
        pytest.skip("FACESTATS_MEDIAPIPE_WHEEL does not name the wheel of mediapipe 0.10.14")
    pytest.importorskip("tflite", reason="tflite is missing; it reads the flatbuffer")
    import render_face_mesh

    made = render_face_mesh.write_mesh(Path(wheel), tmp_path / "face_mesh.onnx")
    assert made.read_bytes() == render_face_mesh.SHIPPED.read_bytes()


def test_a_mean_says_what_it_is_made_of(results: Results, tmp_path: Path) -> None:
    done = run(results, tmp_path / "mean.png", "--where", "score > 0.3")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "mean.png") as picture:
        said = picture.text  # type: ignore[attr-defined]
        assert picture.width > 256
    assert said["facestats:method"] == "mean"
    assert said["facestats:pack"] == "lite"
    assert "recognises people" in json.loads(said["facestats:marks"])
    caption = said["facestats:caption"]
    assert caption.splitlines()[0] == "score > 0.3"
    assert "faces used of" in caption
    assert caption in done.output
    again = run(results, tmp_path / "mean.png", "--where", "score > 0.3")
    assert again.exit_code != 0
    assert "--overwrite" in str(again.exception)


def test_the_same_query_gives_the_same_bytes(results: Results, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        assert run(results, tmp_path / name, "--mask").exit_code == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_two_means_stand_in_one_frame_with_their_difference(results: Results, tmp_path: Path) -> None:
    done = run(results, tmp_path / "two.png", "--compare", "face_index < 29", "--min-faces", "10")
    assert done.exit_code == 0, done.output
    assert "A: all faces" in done.output
    assert "B: face_index < 29" in done.output


def test_captions_stay_within_the_picture_whatever_they_say() -> None:
    for text in ("WWWW " * 60, "W" * 300, "i" * 300, "gender = 'female' AND age_years BETWEEN 20 AND 40 " * 4):
        image = with_caption(panels([[np.zeros((64, 64, 3), np.uint8)]], [["n = 20"]]), [text, "the end"])
        pixels = np.asarray(image)
        assert (pixels[:, -12:] == 255).all()  # the margin
        assert (pixels[-30:-12] < 255).any()


def test_too_few_faces_are_refused_and_nothing_is_written(results: Results, tmp_path: Path) -> None:
    for where, said in (
        ("source LIKE '%obama%'", "1 of 1 faces"),
        ("false", "0 of 0 faces"),
        ("x0 > ", "no expression"),
    ):
        done = run(results, tmp_path / "few.png", "--where", where)
        assert isinstance(done.exception, InvalidInputError)
        assert said in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_composite_is_named_as_the_png_that_it_is(results: Results, tmp_path: Path) -> None:
    for name in ("mean.jpg", "pca.parquet", "mean"):
        assert "expected a name that does" in str(run(results, tmp_path / name).exception)


def test_copies_count_once_and_one_photo_is_capped(results: Results) -> None:
    cohort = Cohort.select(results, None, per_photo=5)
    of_solvay = select_faces(results, "source LIKE '%solvay%'").num_rows
    assert cohort.left_out["more than 5 of one photo"] == of_solvay - 5
    assert COPY not in cohort.left_out
    best = cohort.faces.filter(np.array(["solvay" in source for source in cohort.faces["source"].to_pylist()]))
    scores = select_faces(results, "source LIKE '%solvay%'")["score"].to_numpy()
    np.testing.assert_allclose(np.sort(best["score"].to_numpy()), np.sort(scores)[-5:])


def test_a_mean_is_the_mean_of_its_faces_in_linear_light(results: Results) -> None:
    prepared = Preparation(results, [Cohort.select(results, None, per_photo=40)], side=64)
    cohort = prepared.cohorts[0]
    faces = [face for _, face in prepared.faces(cohort)]
    weights = np.stack([face.weight for face in faces])[..., None]
    expected = (np.stack([face.light for face in faces]) * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-6)
    made = make_composite(results, None, per_photo=40, side=64)
    np.testing.assert_allclose(made.light, expected, atol=1e-5)
    assert made.num_used == len(faces)
    assert made.num_used + sum(made.left_out.values()) == made.num_found
    middle = made.picture[24:40, 24:40].astype(int)
    assert np.abs(to_linear(made.picture)[24:40, 24:40] - made.light[24:40, 24:40]).max() < 0.01
    assert middle.std() > 3  # a face, and no grey square


def test_components_are_those_of_the_data_matrix(results: Results) -> None:
    prepared = Preparation(results, [Cohort.select(results, None, per_photo=40)], side=48)
    found = make_eigenfaces(prepared, prepared.cohorts[0], components=4)
    inside = prepared.frame.oval > 0
    again = Preparation(results, [Cohort.select(results, None, per_photo=40)], side=48)
    faces = [face for _, face in again.faces(again.cohorts[0])]
    light = np.stack([face.light[inside] for face in faces]).astype(np.float64)
    weights = np.stack([face.weight[inside] for face in faces])[..., None]
    # Where a face has no photo it is as the mean of those that have: padding is no difference of faces.
    mean = (light * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-6)
    centred = ((light - mean) * weights * prepared.frame.oval[inside][:, None]).reshape(len(faces), -1)
    _, singular, vectors = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(found.shares, (singular**2 / (singular**2).sum())[:4], rtol=1e-3)
    parts = np.stack([found.coefficients[f"pc{n}"].to_numpy() for n in range(1, 5)], axis=1)
    expected = centred @ vectors[:4].T / (singular[:4] / np.sqrt(len(faces) - 1))
    np.testing.assert_allclose(np.abs(parts), np.abs(expected), atol=1e-2)
    np.testing.assert_allclose(parts.std(axis=0, ddof=1), 1, rtol=1e-3)


def test_pca_writes_its_picture_and_a_row_for_each_face(results: Results, tmp_path: Path) -> None:
    done = run(results, tmp_path / "pca.png", "--method", "pca", "--components", "3", "--size", "64")
    assert done.exit_code == 0, done.output
    table = pq.read_table(tmp_path / "pca.parquet")
    assert table.column_names == ["source", "face_index", "pc1", "pc2", "pc3"]
    assert f"{table.num_rows} faces used" in done.output
