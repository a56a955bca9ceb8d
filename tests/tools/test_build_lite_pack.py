"""The lite pack: what ships, and what its makers' command takes."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import pytest

from fsdata.labels.readers.data_sets import Kind, read_labels
from fsengine.contracts.served import RECOGNISES_PEOPLE
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import verify_pack
from fsengine.packs.shipped import SHIPPED_PACK, shipped_folder
from fsengine.registry.model_source import read_registry
from lite_pack.pack_card import CARD_FILE
from lite_pack.training_crops import unpack_crops

LITE = shipped_folder("packs") / SHIPPED_PACK
MOST_BYTES = 25e6


def test_what_ships_is_whole_small_and_permissive() -> None:
    pack = verify_pack(LITE)
    assert all(model.commercial_use for model in pack.models.values())
    assert {model.licence for model in pack.models.values()} == {"MIT", "Apache-2.0", "CC BY 4.0"}
    assert set(pack.models) == {"detect", "align", "embed", "ethnicity", "age_gender"}
    assert sum(path.stat().st_size for path in LITE.rglob("*") if path.is_file()) < MOST_BYTES


def test_it_says_what_it_is_and_that_it_recognises_people() -> None:
    served = verify_pack(LITE).served()
    assert served.marks[RECOGNISES_PEOPLE] == ["embed"]
    assert set(served.marks["lite: small permissive models"]) == {"detect", "embed", "ethnicity", "age_gender"}
    assert served.labels["gender"] == ["female", "male"]
    assert served.thresholds == {"ethnicity": 0.5}


def test_its_weights_are_those_of_the_table_of_sources() -> None:
    known = {source.sha256: source.name for source in read_registry().values()}
    models = verify_pack(LITE).models
    names = {known[sha256] for step in ("detect", "embed") for sha256 in models[step].source_sha256.values()}
    assert names == {
        "centerface",
        "face-api-recogniser",
        "face-api-recogniser-manifest",
        "face-api-age-gender",
        "face-api-age-gender-manifest",
    }


def test_its_cards_say_what_it_is_first_of_all() -> None:
    card = (LITE / CARD_FILE).read_text()
    assert "recognises people" in card.splitlines()[2]
    assert verify_pack(LITE).served().model_set_id in card
    assert "WIDER FACE" in card
    for step in ("ethnicity", "age_gender"):
        assert "kept out of training" in (LITE / step / "card.md").read_text()


def crops_folder(folder: Path, rows: list[tuple[str, str, str, str]], files: list[str]) -> Path:
    folder.mkdir()
    with (folder / "labels.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["file", "shard", "age_bucket", "gender", "race"])
        writer.writerows([name, "crops-0.tar", *labels] for name, *labels in rows)
    with tarfile.open(folder / "crops-0.tar", "w") as tar:
        for name in files:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return folder


ROWS = [("a.jpg", "3-9", "Male", "East Asian"), ("b.jpg", "70+", "Female", "Latino_Hispanic")]


def test_crops_are_unpacked_with_labels_that_fsdata_reads(tmp_path: Path) -> None:
    crops = unpack_crops(crops_folder(tmp_path / "source", ROWS, ["a.jpg", "b.jpg"]), tmp_path / "crops")
    assert [path.name for path in crops.photos] == ["a.jpg", "b.jpg"]
    records = read_labels(crops.labels, Kind.FAIRFACE)
    assert [(record.gender, record.ethnicity) for record in records] == [
        ("male", "East Asian"),
        ("female", "Latino_Hispanic"),
    ]
    assert [record.age_years for record in records] == [6.5, 76]
    assert [record.path for record in records] == crops.photos


def test_a_crop_that_no_archive_holds_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"1 crops of the table .*b\.jpg"):
        unpack_crops(crops_folder(tmp_path / "source", ROWS, ["a.jpg"]), tmp_path / "crops")


@pytest.mark.parametrize(
    "rows",
    [[], [ROWS[0], ROWS[0]], [("a.jpg", "3-9", "", "White")]],
    ids=["no crop", "a crop twice", "a label missing"],
)
def test_a_table_that_is_not_one_whole_row_a_crop_is_refused(
    rows: list[tuple[str, str, str, str]], tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="expected one whole row for each crop"):
        unpack_crops(crops_folder(tmp_path / "source", rows, ["a.jpg"]), tmp_path / "crops")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"expected labels\.tsv with file, age_bucket, gender, race"):
        unpack_crops(tmp_path, tmp_path / "crops")
