from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fsdata import cli, label_options
from fsdata.labels.check.check_report import PROBLEMS, FindingKind
from fsdata.labels.check.checks import check_records
from fsdata.labels.check.suspect_labels import shown_scale
from fsdata.labels.readers.data_sets import Kind
from fsdata.labels.readers.label_table import Attribute, read_label_table
from fsdata.labels.record import LabelledPhoto
from fsengine.errors import InvalidInputError
from fsengine.terminal.tables import plain_text


@pytest.fixture
def clean(tmp_path: Path) -> list[LabelledPhoto]:
    """Forty different photos with labels that nothing is wrong with."""
    records = []
    for number in range(40):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        records.append(
            LabelledPhoto(
                path=path,
                dataset="mine",
                gender=("female", "male")[number % 2],
                ethnicity=("Black", "White")[number // 2 % 2],
                age_low_years=20.0 + number % 2 * 10,
                age_high_years=30.0 + number % 2 * 10,
                rating=1 + number % 5,
                rating_std=0.5,
                num_raters=3,
            )
        )
    return records


def changed(record: LabelledPhoto, **changes: object) -> LabelledPhoto:
    import dataclasses

    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]


def kinds(records: list[LabelledPhoto], **options: Any) -> dict[FindingKind, int]:
    return {finding.kind: finding.count for finding in check_records(records, **options).findings}


def test_clean_records_have_no_findings(clean: list[LabelledPhoto]) -> None:
    seen: list[None] = []
    report = check_records(clean, on_photo=lambda: seen.append(None))
    assert report.findings == ()
    assert (report.num_records, report.num_contents, len(seen)) == (40, 40, 40)
    assert report.classes["gender"] == {"female": 20, "male": 20}
    assert report.classes["age"] == {"20-29": 20, "30-39": 20}
    assert "no problems" in plain_text(report.to_blocks())


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"path": Path("/nowhere/a.jpg")}, FindingKind.MISSING_FILE),
        ({"gender": "femal"}, FindingKind.NEAR_MISS_LABEL),
        ({"gender": "f"}, FindingKind.UNKNOWN_LABEL),
        ({"ethnicity": "white"}, FindingKind.NEAR_MISS_LABEL),
        ({"ethnicity": "Latino Hispanic"}, FindingKind.NEAR_MISS_LABEL),
        ({"ethnicity": "Martian"}, FindingKind.UNKNOWN_LABEL),
        ({"rating": 55.0}, FindingKind.RATING_OUTSIDE_SCALE),
        ({"num_raters": 1, "rating_std": None}, FindingKind.ONE_RATER),
    ],
)
def test_one_wrong_label_is_one_finding(
    clean: list[LabelledPhoto], changes: dict[str, object], kind: FindingKind
) -> None:
    # Enough ratings for one of them to be an outlier.
    extra = [changed(clean[0], path=Path(f"/none/{i}"), gender=None, ethnicity=None) for i in range(60)]
    records = [changed(clean[3], **changes), *clean[:3], *clean[4:]]
    found = kinds([*records, *extra])
    if kind is FindingKind.MISSING_FILE:
        assert found.pop(kind) == 61
    else:
        assert found.pop(FindingKind.MISSING_FILE) == 60
        assert found.pop(kind) == 1
    found.pop(FindingKind.IMBALANCE, None)
    assert found == {}


def test_broken_files_are_found(clean: list[LabelledPhoto], tmp_path: Path) -> None:
    whole = clean[0].path.read_bytes()
    contents = [b"", b"hello", whole[:20], b"GIF89a" + bytes(50)]
    for record, content in zip(clean, contents, strict=False):
        record.path.write_bytes(content)
    finding = check_records(clean).finding(FindingKind.UNREADABLE_PHOTO)
    assert finding is not None
    assert finding.count == 4
    assert ["empty" in finding.examples[0], "no photo" in finding.examples[1]] == [True, True]
    assert ["broken header" in finding.examples[2], "GIF" in finding.examples[3]] == [True, True]


def test_copies_are_found_and_compared(clean: list[LabelledPhoto], tmp_path: Path) -> None:
    copies = []
    for number, record in enumerate(clean[:4]):
        shutil.copy(record.path, tmp_path / f"copy{number}.png")
        copies.append(changed(record, path=tmp_path / f"copy{number}.png"))
    copies[1] = changed(copies[1], gender="female")
    copies[2] = changed(copies[2], age_low_years=60.0, age_high_years=61.0)
    copies[3] = changed(copies[3], dataset="other", ethnicity="Asian", rating=1.5, gender=None, age_low_years=35.0)
    report = check_records([*clean, *copies])
    assert kinds([*clean, *copies]) == {
        FindingKind.CONFLICTING_DUPLICATE: 2,
        FindingKind.DUPLICATE: 2,
        FindingKind.IMBALANCE: 2,
    }
    conflicts = report.finding(FindingKind.CONFLICTING_DUPLICATE)
    assert conflicts is not None
    assert "gender 'female' and 'male'" in conflicts.examples[0]
    assert "age 60.5 and 25" in conflicts.examples[1]
    assert report.num_contents == 40


def test_classes_of_ones_own_are_no_typing_errors(clean: list[LabelledPhoto]) -> None:
    own = [changed(record, ethnicity=("South Asian", "white")[i % 2]) for i, record in enumerate(clean)]
    assert kinds(own) == {FindingKind.UNKNOWN_LABEL: 40}
    mixed = [*own[:39], changed(own[39], ethnicity="White")]
    # Two spellings of one class; `White` alone is known, so the others are what is wrong.
    assert kinds(mixed)[FindingKind.NEAR_MISS_LABEL] == 19


def test_ratings_are_compared_with_a_range_that_is_given(clean: list[LabelledPhoto]) -> None:
    assert kinds(clean, rating_range=(1, 4)) == {FindingKind.RATING_OUT_OF_RANGE: 8}
    with pytest.raises(InvalidInputError, match="lowest rating first"):
        check_records(clean, rating_range=(5, 1))
    scut = [changed(record, dataset="scut-fbp5500", ethnicity="Asian", rating=0.5) for record in clean]
    assert kinds(scut) == {FindingKind.RATING_OUT_OF_RANGE: 40}


@pytest.mark.parametrize(
    ("ratings", "scale"),
    [([], None), ([0.2, 1], (0, 1)), ([1, 5], (1, 5)), ([1, 9], (1, 10)), ([55, 3], (0, 100)), ([-3, 3], None)],
)
def test_the_scale_is_told_by_the_ratings(ratings: list[float], scale: tuple[float, float] | None) -> None:
    assert shown_scale(ratings) == scale


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, ["check", *map(str, arguments)])


def test_the_command_on_the_samples(shared: Path) -> None:
    table = shared / "samples/labelled/labels.tsv"
    done = run(table)
    assert done.exit_code == 0
    assert "819 photos, 819 different: fairface 504, utkface 315" in done.stdout
    assert "PROBLEM" not in done.stdout
    shown = json.loads(run(table, "--json").stdout)
    assert shown["classes"]["gender"] == {"female": 410, "male": 409}
    assert {finding["severity"] for finding in shown["findings"]} == {"warning"}


def test_the_command_on_mangled_samples(shared: Path, tmp_path: Path) -> None:
    """What a spreadsheet, a typist and a disk do to a table is all found."""
    samples = shared / "samples/labelled"
    lines = (samples / "labels.tsv").read_text().splitlines()
    fairface = [line.replace("labelled/", f"{samples}/").split("\t") for line in lines if "\tfairface\t" in line]
    mangled = 0
    for cells in fairface:
        if cells[3] in {"3-9", "10-19"}:
            cells[3] = {"3-9": "9-Mar", "10-19": "Oct-19"}[cells[3]]
            mangled += 1
    fairface[0][4] = "femael"
    fairface[1][0] = "gone.jpg"
    table = tmp_path / "labels.tsv"
    table.write_text("\n".join([lines[0], *map("\t".join, fairface)]) + "\n")

    done = run(table, "--json")
    assert done.exit_code == 3
    counts = {finding["kind"]: finding["count"] for finding in json.loads(done.stdout)["findings"]}
    assert counts["mangled_bucket"] == mangled == 112
    assert (counts["near_miss_label"], counts["missing_file"]) == (1, 1)
    ages = [record.age_low_years for record in read_label_table(table)]
    assert (ages.count(3), ages.count(10)) == (56, 56)
    assert "warning: 112 age buckets that a spreadsheet turned into dates" in run(table).stdout


def test_the_command_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    assert run(tmp_path / "nothing").exit_code == 2
    (tmp_path / "labels.csv").write_text("file,age\na.jpg,young\n")
    done = run(tmp_path / "labels.csv")
    assert done.exit_code == 2
    assert "row 2: age 'young'" in done.stderr
    assert done.stdout == ""


def test_the_command_maps_columns_and_reads_sub_folders(tmp_path: Path) -> None:
    (tmp_path / "p1").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "p1" / "a.png")
    (tmp_path / "labels.csv").write_text("bild,alter\np1/a.png,31\n")
    mapped = run(tmp_path / "labels.csv", "--column", "file", "bild", "--column", "age_years", "alter", "--json")
    assert json.loads(mapped.stdout)["classes"] == {"age": {"30-39": 1}}
    folder = run(tmp_path, "--kind", "folder", "--attribute", "identity")
    assert folder.exit_code == 0


def test_the_command_offers_what_the_library_knows() -> None:
    assert set(label_options.KINDS) == {kind.value for kind in Kind}
    assert set(label_options.ATTRIBUTES) == {attribute.value for attribute in Attribute}
    assert set(FindingKind) >= PROBLEMS
