from __future__ import annotations

import importlib.util
import statistics
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fsdata.labels.photo_content import read_content
from fsdata.labels.readers.data_sets import Kind, detect_kind, read_labels
from fsdata.labels.readers.fairface import read_fairface
from fsdata.labels.readers.label_table import Attribute, read_folder, read_label_table
from fsdata.labels.readers.scut import read_scut
from fsdata.labels.readers.utkface import read_utkface
from fsdata.labels.record import NoteKind
from fsengine.errors import InvalidInputError, MissingDependencyError

FAIRFACE = """file,age,gender,race,service_test
train/1.jpg,50-59,Male,East Asian,True
train/2.jpg,9-Mar,Female,Latino_Hispanic,False
val/3.jpg,more than 70,Female,White,False
val/4.jpg,Oct-19,Male,Black,False
"""


def photo(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (colour, 90, 30)).save(path)
    return path


def table(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_fairface(tmp_path: Path) -> None:
    photos = read_fairface(table(tmp_path / "fairface_label_train.csv", FAIRFACE))
    assert [item.path for item in photos][:2] == [tmp_path / "train/1.jpg", tmp_path / "train/2.jpg"]
    assert [item.gender for item in photos] == ["male", "female", "female", "male"]
    assert [(item.age_low_years, item.age_high_years) for item in photos] == [(50, 60), (3, 10), (70, 90), (10, 20)]
    assert [item.fold for item in photos] == ["train", "train", "val", "val"]
    assert [item.ethnicity for item in photos] == ["East Asian", "Latino_Hispanic", "White", "Black"]
    assert [[note.kind for note in item.notes] for item in photos] == [
        [],
        [NoteKind.MANGLED_BUCKET],
        [],
        [NoteKind.MANGLED_BUCKET],
    ]
    assert "'9-Mar' was read as 3-9" in photos[1].notes[0].text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("East Asian", "East Asia", r"row 2: race is 'East Asia'.*'East Asian'\?"),
        ("Male,East", "Mal,East", r"row 2: gender is 'mal'.*'male'\?"),
        ("50-59", "50-95", r"row 2: age is '50-95'.*'50-59'\?"),
        ("9-Mar", "8-Mar", "row 3: age is '8-Mar'"),
        ("train/1.jpg", "", "row 2: the photo's file is empty"),
        (",True", ",True,more", "row 2 has 6 cells, expected 5"),
        ("file,age", "path,age", "not file"),
        ("gender,race", "gender,gender", "twice"),
        ("train/1.jpg", '"train/1.jpg', "no table|cells"),
    ],
)
def test_a_wrong_fairface_table_is_refused_with_its_row(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert FAIRFACE.count(old) >= 1
    with pytest.raises(InvalidInputError, match=said):
        read_fairface(table(tmp_path / "labels.csv", FAIRFACE.replace(old, new, 1)))


def test_the_two_official_files_of_fairface_are_read_from_their_folder(tmp_path: Path) -> None:
    for name in ("fairface_label_train.csv", "fairface_label_val.csv"):
        table(tmp_path / name, FAIRFACE)
    assert len(read_labels(tmp_path)) == 8
    assert detect_kind(tmp_path / "fairface_label_val.csv") is Kind.FAIRFACE


def test_utkface_of_the_samples(shared: Path) -> None:
    photos = read_labels(shared / "samples/labelled/utkface")
    assert len(photos) == 315
    assert not any(item.notes for item in photos)
    rows = {item.path: item for item in read_label_table(shared / "samples/labelled/labels.tsv")}
    for item in photos:
        row = rows[item.path]
        assert (item.gender, item.age_low_years, item.age_high_years) == (
            row.gender,
            row.age_low_years,
            row.age_high_years,
        )
        assert (item.ethnicity or "").removesuffix("s") == row.ethnicity


def test_malformed_names_of_utkface_stay_as_records_with_a_note(tmp_path: Path) -> None:
    names = ["31_0_2_20170109.jpg.chip.jpg", "26_1_4_20170116.jpg", "61_1_20170109.jpg.chip.jpg", "117_0_0_2017.jpg"]
    for name in names:
        photo(tmp_path / name)
    by_name = {item.path.name: item for item in read_utkface(tmp_path)}
    assert set(by_name) == set(names)
    first, second = by_name[names[0]], by_name[names[1]]
    assert (first.gender, first.ethnicity, first.age_years) == ("male", "Asian", 31.5)
    assert (second.gender, second.ethnicity, second.age_low_years) == ("female", "Others", 26)
    for name in names[2:]:
        assert by_name[name].gender is None
        assert [note.kind for note in by_name[name].notes] == [NoteKind.MALFORMED_NAME]


def test_a_folder_without_names_of_utkface_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no photo at all"):
        read_utkface(tmp_path)
    photo(tmp_path / "holiday.jpg")
    with pytest.raises(InvalidInputError, match=r"holiday\.jpg"):
        read_utkface(tmp_path)


RATINGS = """Rater,Filename,Rating,original Rating
1,CF1.jpg,3,
2,CF1.jpg,4,3
3,CF1.jpg,5,
1,AM2.jpg,2,
1,AM2.jpg,2,
"""


def check_scut(photos_folder: Path, path: Path) -> None:
    first, second = read_labels(path)
    assert (first.path, first.gender, first.ethnicity) == (photos_folder / "AM2.jpg", "male", "Asian")
    assert (first.rating, first.rating_std, first.num_raters) == (2, None, 1)
    assert (second.gender, second.ethnicity, second.num_raters) == ("female", "Caucasian", 3)
    assert second.rating == 4
    assert second.rating_std == pytest.approx(statistics.stdev([3, 4, 5]))


def test_scut_gathers_the_ratings_of_each_photo(tmp_path: Path) -> None:
    path = table(tmp_path / "All_Ratings.csv", RATINGS)
    check_scut(tmp_path / "Images", path)
    assert detect_kind(path) is Kind.SCUT
    assert len(read_labels(tmp_path)) == 2
    here = photo(tmp_path / "AM2.jpg")
    assert read_scut(path)[0].path == here


@pytest.mark.parametrize("wrong", ["6", "0", "good", "inf"])
def test_a_rating_off_the_scale_is_refused_with_its_row(tmp_path: Path, wrong: str) -> None:
    path = table(tmp_path / "All_Ratings.csv", RATINGS.replace("2,CF1.jpg,4", f"2,CF1.jpg,{wrong}"))
    with pytest.raises(InvalidInputError, match=r"row 3: rating is .*1 to 5"):
        read_scut(path)


def test_scut_from_excel_with_a_sheet_that_repeats_others(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is missing; it reads Excel files")
    book = openpyxl.Workbook()
    for sheet in (book.active, book.create_sheet("ALL")):
        for line in RATINGS.splitlines():
            sheet.append([int(cell) if cell.isdigit() else cell for cell in line.split(",")])
    book.save(tmp_path / "All_Ratings.xlsx")
    check_scut(tmp_path / "Images", tmp_path / "All_Ratings.xlsx")
    with pytest.raises(InvalidInputError, match="cannot be read as an Excel file"):
        read_scut(table(tmp_path / "broken.xlsx", "no zip"))


def test_excel_without_openpyxl_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("openpyxl") is not None:
        monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingDependencyError, match="pip install openpyxl, or save it as CSV"):
        read_scut(table(tmp_path / "All_Ratings.xlsx", "anything"))


def test_the_label_table_of_the_samples(shared: Path) -> None:
    photos = read_labels(shared / "samples/labelled/labels.tsv")
    assert Counter(item.dataset for item in photos) == {"fairface": 504, "utkface": 315}
    assert all(item.path.is_file() for item in photos)
    assert all(item.gender in {"female", "male"} and item.ethnicity and item.age_years for item in photos)
    oldest = [item for item in photos if item.dataset == "fairface" and item.age_low_years == 70]
    assert {item.age_high_years for item in oldest} == {90}
    exact = [item for item in photos if item.dataset == "utkface"]
    assert all(item.age_high_years == (item.age_low_years or 0) + 1 for item in exact)


def test_tables_of_ones_own(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    path = table(
        tmp_path / "labels/mine.csv",
        "Path;Sex;Age;Score;Person;fold;Herkunft\na.jpg;F;9-Mar;3.5;p1;test;Nord\nb.jpg;;;;;;\n\n",
    )
    first, second = read_label_table(path, {"ethnicity": "Herkunft"})
    assert (first.path, second.path) == (tmp_path / "a.jpg", tmp_path / "labels/b.jpg")
    assert (first.dataset, first.gender, first.age_low_years, first.age_high_years) == ("mine", "f", 3, 10)
    assert (first.rating, first.identity, first.fold, first.ethnicity) == (3.5, "p1", "test", "Nord")
    assert first.notes[0].kind is NoteKind.MANGLED_BUCKET
    assert (second.gender, second.age_years, second.rating, second.ethnicity) == (None, None, None, None)


def test_parquet_with_missing_values_and_embeddings(tmp_path: Path) -> None:
    content = {
        "file": ["a.jpg", "b.jpg"],
        "age": [31.0, None],
        "rating": [2.5, float("nan")],
        "num_raters": [3.0, None],
        "embedding": [[0.0, 1.0], None],
    }
    pq.write_table(pa.table(content), tmp_path / "mine.parquet")
    first, second = read_labels(tmp_path / "mine.parquet")
    assert (first.age_low_years, first.rating, first.num_raters) == (31, 2.5, 3)
    assert (second.age_years, second.rating, second.num_raters) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("file,gender\n", "no rows"),
        ("gender,age\nmale,3\n", "none of the photos' files"),
        ("file,colour\na.jpg,red\n", "none of labels"),
        ("file,age\na.jpg,3\nb.jpg,young\n", "row 3: age 'young'"),
        ("file,rating\na.jpg,inf\n", "row 2: rating is 'inf'"),
        ("file,rating,num_raters\na.jpg,3,1.5\n", "row 2: num_raters"),
        ("file,num_raters\na.jpg,3\n", "row 2: .*without a rating"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        read_label_table(table(tmp_path / "labels.csv", text))


def test_wrong_mappings_and_files_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", "file,age\na.jpg,3\n")
    with pytest.raises(InvalidInputError, match="colour cannot be mapped"):
        read_label_table(path, {"colour": "age"})
    with pytest.raises(InvalidInputError, match="not Alter"):
        read_label_table(path, {"age_years": "Alter"})
    (tmp_path / "latin.csv").write_bytes(b"file,gender\na.jpg,m\xe4nnlich\n")
    with pytest.raises(InvalidInputError, match="not UTF-8"):
        read_label_table(tmp_path / "latin.csv")
    with pytest.raises(InvalidInputError, match="Parquet"):
        read_label_table(table(tmp_path / "labels.parquet", "no parquet"))
    with pytest.raises(InvalidInputError, match="ends in"):
        read_label_table(table(tmp_path / "labels.json", "{}"))
    with pytest.raises(InvalidInputError, match="attribute"):
        read_labels(path, Kind.TABLE, attribute=Attribute.AGE)
    with pytest.raises(InvalidInputError, match="columns"):
        read_labels(path, Kind.SCUT, columns={"file": "file"})


@pytest.mark.parametrize(
    ("names", "attribute"),
    [
        (["female", "Male"], Attribute.GENDER),
        (["Black", "East Asian"], Attribute.ETHNICITY),
        (["0-2", "9-Mar", "70+"], Attribute.AGE),
    ],
)
def test_sub_folders_are_labels(tmp_path: Path, names: list[str], attribute: Attribute) -> None:
    for name in names:
        photo(tmp_path / name / "a.jpg")
        (tmp_path / name / "notes.txt").write_text("no photo")
    (tmp_path / "empty").mkdir()
    photos = read_labels(tmp_path)
    assert photos == read_folder(tmp_path, attribute)
    assert [item.path for item in photos] == [tmp_path / name / "a.jpg" for name in sorted(names)]
    assert {item.dataset for item in photos} == {tmp_path.name}
    if attribute is Attribute.AGE:
        assert sorted((item.age_low_years, len(item.notes)) for item in photos) == [(0, 0), (3, 1), (70, 0)]


def test_sub_folders_that_may_be_anything_need_the_attribute(tmp_path: Path) -> None:
    for name in ("1", "2"):
        photo(tmp_path / name / "a.jpg")
    with pytest.raises(InvalidInputError, match="give the attribute"):
        read_labels(tmp_path)
    assert [item.identity for item in read_labels(tmp_path, attribute=Attribute.IDENTITY)] == ["1", "2"]
    assert [item.rating for item in read_labels(tmp_path, attribute=Attribute.RATING)] == [1, 2]


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_labels(tmp_path / "nothing")
    with pytest.raises(InvalidInputError, match="give the label file itself, or the kind"):
        read_labels(tmp_path)


def test_a_name_that_is_too_long_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_labels(tmp_path / f"{'a' * 300}.csv")
    (labelled,) = read_labels(table(tmp_path / "labels.csv", f"file,gender\n{'a' * 300}.jpg,male\n"))
    assert read_content(labelled.path).missing


def test_cells_of_parquet_are_texts_and_odd_ones_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"file": ["a.jpg"], "gender": pa.array([b"male"])}), path)
    assert [row.gender for row in read_labels(path)] == ["male"]
    times = pa.array([2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"file": ["a.jpg"], "gender": ["male"], "t": times}), path)
    with pytest.raises(InvalidInputError, match="cannot be read as Parquet"):
        read_labels(path)
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a.jpg"]), *[pa.array(["male"])] * 2], ["file", *["gender"] * 2]), path
    )
    with pytest.raises(InvalidInputError, match="has the column gender twice"):
        read_labels(path)
