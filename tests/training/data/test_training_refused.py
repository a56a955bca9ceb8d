"""What cannot be trained on, or written into, is refused before anything is lost; odd labels are no obstacle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drawn_faces import ENCODER, KINDS, TRAIN, drawn_faces, options, say
from fsdata.labels.record import LabelledPhoto
from fsdata.labels.training_faces import TrainingFaces
from fsengine.contracts.served import ETHNICITY
from fsengine.contracts.steps import (
    AGE_GENDER,
    ATTRACTIVENESS,
)
from fsengine.errors import InvalidInputError

for library in ("torch", "lightgbm", "matplotlib", "optuna"):
    pytest.importorskip(library, reason=f"{library} is missing; training needs it")


@pytest.mark.parametrize("step", TRAIN)
def test_faces_without_the_label_are_counted_and_too_few_are_refused(step: str, tmp_path: Path) -> None:
    faces = drawn_faces(100)
    bare = [LabelledPhoto(path=record.path, dataset="drawn") for record in faces.records]

    def some(labelled: int) -> TrainingFaces:
        return TrainingFaces(
            embeddings=faces.embeddings,
            records=[*faces.records[:labelled], *bare[labelled:]],
            content_hashes=faces.content_hashes,
            encoder_id=ENCODER,
        )

    with pytest.raises(InvalidInputError, match=r"59 faces have labels, expected at least 60"):
        TRAIN[step](some(59), options(tmp_path), say)
    assert not list(tmp_path.rglob("artifact.json"))
    TRAIN[step](some(90), options(tmp_path), say)
    data = json.loads((tmp_path / "report" / "report.json").read_text())["data"]
    assert sum(data["counts"].values()) == 90
    assert list(data["left_out"].values()) == [10]


@pytest.mark.parametrize(
    ("step", "labels", "message"),
    [
        (ATTRACTIVENESS, {"rating": 3.0}, "ratings take 1 values"),
        (ETHNICITY, {"ethnicity": "Black"}, r"labelled \['Black'\], expected two classes or more"),
        (AGE_GENDER, {"gender": "female", "age_low_years": 20, "age_high_years": 30}, r"expected two genders"),
    ],
)
def test_labels_that_say_nothing_are_refused(step: str, labels: dict[str, Any], message: str, tmp_path: Path) -> None:
    faces = drawn_faces(100)
    records = [LabelledPhoto(path=record.path, dataset="drawn", **labels) for record in faces.records]
    same = TrainingFaces(
        embeddings=faces.embeddings, records=records, content_hashes=faces.content_hashes, encoder_id=ENCODER
    )
    with pytest.raises(InvalidInputError, match=message):
        TRAIN[step](same, options(tmp_path), say)


@pytest.mark.parametrize("changes", [{"folds": 1}, {"trials": -1}], ids=str)
def test_options_that_are_wrong_in_one_way_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected at least 2 and 0"):
        options(tmp_path, **changes)


@pytest.mark.parametrize("step", TRAIN)
@pytest.mark.parametrize("file", ["precious.txt", "report/report.html", "model.onnx"])
def test_a_folder_of_something_else_is_not_written_into(step: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "out" / file).parent.mkdir(parents=True)
    (tmp_path / "out" / file).write_text("precious")
    with pytest.raises(InvalidInputError, match=f"holds {file.split('/')[0]}, and no head; give an empty folder"):
        TRAIN[step](drawn_faces(), options(tmp_path / "out"), say)
    assert (tmp_path / "out" / file).read_text() == "precious"


def test_a_figure_that_is_no_number_is_left_out_of_the_report(tmp_path: Path) -> None:
    faces = drawn_faces()
    alike = [replace(row, age_low_years=20.0, age_high_years=21.0) for row in faces.records]
    TRAIN[AGE_GENDER](replace(faces, records=alike), options(tmp_path / "out"), say)
    text = (tmp_path / "out" / "report" / "report.json").read_text()
    report = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "age_mean_absolute_error" in report["figures"]
    assert not {"age_pearson", "age_r_squared"} & set(report["figures"])


def test_class_names_are_no_formulas(tmp_path: Path) -> None:
    faces = drawn_faces()
    names = {kind: rf"{kind}$\foo$|{kind}" for kind in KINDS}
    odd = [replace(row, ethnicity=names[str(row.ethnicity)]) for row in faces.records]
    TRAIN[ETHNICITY](replace(faces, records=odd), options(tmp_path / "out"), say)
    assert r"Black$\foo$|Black" in (tmp_path / "out" / "report" / "report.html").read_text()
    rows = [line for line in (tmp_path / "out" / "report" / "card.md").read_text().splitlines() if "$" in line]
    assert rows
    assert all(rf"\|{KINDS[0]}" in row or KINDS[0] not in row for row in rows)


def test_ratings_out_of_all_bounds_are_refused(tmp_path: Path) -> None:
    faces = drawn_faces()
    huge = [replace(row, rating=1e200 * (number + 1)) for number, row in enumerate(faces.records)]
    with pytest.raises(InvalidInputError, match=r"ratings reach .*rescale them"):
        TRAIN[ATTRACTIVENESS](replace(faces, records=huge), options(tmp_path / "out"), say)
