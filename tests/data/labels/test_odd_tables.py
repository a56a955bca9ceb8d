"""Label tables as people and spreadsheets leave them: words for no label, decimal commas, encodings, sheets."""

from __future__ import annotations

import codecs
import datetime
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from fsdata import cli
from fsdata.labels.age_label import parse_age
from fsdata.labels.check.check_report import FindingKind
from fsdata.labels.check.checks import check_records
from fsdata.labels.readers.cell_values import NO_LABEL_WORDS, is_no_label
from fsdata.labels.readers.data_sets import Kind, detect_kind, read_labels
from fsdata.labels.readers.label_table import Attribute
from fsdata.labels.record import LabelledPhoto, NoteKind, ReaderNote
from fsdata.labels.told_notes import told_notes
from fsengine.errors import InvalidInputError


def report(shared: Path, name: str) -> Path:
    path = shared / "samples" / "reports" / name
    if not path.exists():
        pytest.skip(f"{name} is missing among the test assets")
    return path


def table(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def workbook(path: Path, **sheets: Sequence[Sequence[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is missing; it reads Excel files")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def kinds(notes: Sequence[ReaderNote]) -> Counter[NoteKind]:
    return Counter(note.kind for note in notes)


# Words for no label


def test_words_for_no_label_are_no_classes(shared: Path) -> None:
    records = read_labels(report(shared, "B21/labels_race_nan_only.csv"))
    classes = Counter(record.ethnicity for record in records)
    assert classes.pop(None) == 44
    assert sorted(str(name) for name in classes) == [
        "Black",
        "East Asian",
        "Indian",
        "Latino_Hispanic",
        "Middle Eastern",
        "Southeast Asian",
        "White",
    ]
    lines = list(told_notes(records, []))
    assert [line for line in lines if "'nan'" in line] == ["ethnicity 'nan' is no label: 11 photos"]
    assert len(lines) == 4
    finding = check_records(records).finding(FindingKind.NO_LABEL_WORD)
    assert finding is not None
    assert (finding.count, finding.is_problem) == (44, False)


@pytest.mark.parametrize("word", [*sorted(NO_LABEL_WORDS - {""}), "NaN", "NONE", "N/A", "Unknown", " null "])
def test_a_word_for_no_label_is_none_in_every_column(word: str, tmp_path: Path) -> None:
    names = ("person", "gender", "age", "race", "rating", "rating_std", "num_raters", "fold", "dataset")
    lines = ["\t".join(("file", *names)), "\t".join(("a.jpg", *[word] * len(names)))]
    (record,) = read_labels(table(tmp_path / "mine.tsv", "\n".join(lines)))
    assert (record.identity, record.gender, record.age_years, record.ethnicity) == (None, None, None, None)
    assert (record.rating, record.rating_std, record.num_raters, record.fold) == (None, None, None, None)
    assert record.dataset == "mine"
    assert kinds(record.notes) == {NoteKind.NO_LABEL_WORD: len(names) - 1}


@pytest.mark.parametrize("word", ["Nana", "0", "Other", "Others", "x", "Una", "Nil Desperandum"])
def test_other_words_are_labels(word: str) -> None:
    assert not is_no_label(word)


def test_a_photo_whose_file_is_no_value_is_a_bad_row(tmp_path: Path) -> None:
    notes: list[ReaderNote] = []
    path = table(tmp_path / "mine.csv", "file,gender\nnan,male\na.jpg,female\n")
    assert [record.gender for record in read_labels(path, on_note=notes.append)] == ["female"]
    assert "row 2: the photo's file is 'nan'" in notes[0].text


def test_words_for_no_label_in_known_data_sets(tmp_path: Path) -> None:
    text = "file,age,gender,race,service_test\ntrain/1.jpg,None,,nan,True\ntrain/2.jpg,3-9,Male,Black,True\n"
    first, second = read_labels(table(tmp_path / "fairface_label_train.csv", text))
    assert (first.gender, first.age_years, first.ethnicity, len(first.notes)) == (None, None, None, 2)
    assert (second.gender, second.ethnicity) == ("male", "Black")
    ratings = "Rater,Filename,Rating\n1,AF1.jpg,nan\n2,AF1.jpg,4\n1,AF2.jpg,\n"
    first, second = read_labels(table(tmp_path / "scut" / "ratings.csv", ratings))
    assert (first.rating, first.num_raters, second.rating) == (4, 1, None)
    assert kinds(first.notes) == {NoteKind.NO_LABEL_WORD: 1}


def test_a_folder_that_is_named_unknown_is_nobody(tmp_path: Path) -> None:
    for name in ("female", "male", "Unknown"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    by_name = {record.path.parent.name: record for record in read_labels(tmp_path)}
    assert {name: record.gender for name, record in by_name.items()} == {
        "female": "female",
        "male": "male",
        "Unknown": None,
    }
    people = read_labels(tmp_path, attribute=Attribute.IDENTITY)
    assert [record.identity for record in people] == [None, "female", "male"]


def test_a_folder_whose_name_is_no_label_stops_no_other(tmp_path: Path) -> None:
    for name in ("20-29", "3-9", "duplicates"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    notes: list[ReaderNote] = []
    records = read_labels(tmp_path, attribute=Attribute.AGE, on_note=notes.append)
    assert [record.age_low_years for record in records] == [20, 3]
    assert "duplicates: age 'duplicates' is no age" in notes[0].text
    with pytest.raises(InvalidInputError, match="duplicates"):
        read_labels(tmp_path, attribute=Attribute.AGE)


# Rows that cannot be used


def test_a_fold_of_adience_is_read_without_what_nobody_knows(shared: Path) -> None:
    path = report(shared, "B24/fold_0_data.txt")
    assert detect_kind(path) is Kind.ADIENCE
    notes: list[ReaderNote] = []
    records = read_labels(path, on_note=notes.append)
    assert notes == []
    assert [record.gender for record in records] == ["male", "female", None, "female", None, "female"]
    ages = [(record.age_low_years, record.age_high_years) for record in records]
    assert ages == [(25, 33), (None, None), (8, 13), (38, 44), (60, 101), (38, 43)]
    assert all(record.path.is_file() for record in records)
    assert {record.identity for record in records} == {"u1", "u2"}
    assert {record.fold for record in records} == {"fold_0"}
    lines = list(told_notes(records, notes))
    assert lines == ["age 'None' is no label: 1 photo", "gender 'u' is no label: 1 photo"]
    assert len(read_labels(path.parent)) == 6


def test_faces_of_adience_lie_where_its_archives_have_them(tmp_path: Path) -> None:
    face = tmp_path / "faces" / "u7" / "coarse_tilt_aligned_face.12.a.jpg"
    face.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(face)
    text = "user_id\toriginal_image\tface_id\tage\tgender\nu7\ta.jpg\t12\t35\tf\nu7\ta.jpg\t13\t(8 12)\tf\n"
    notes: list[ReaderNote] = []
    (record,) = read_labels(table(tmp_path / "fold_1_data.txt", text), on_note=notes.append)
    assert (record.path, record.age_low_years) == (face, 35)
    assert "row 3: age '(8 12)' is no age" in notes[0].text


def test_bad_rows_are_counted_and_the_others_are_read(tmp_path: Path) -> None:
    path = table(
        tmp_path / "mine.csv",
        "file,age,gender\na.jpg,young,male\nb.jpg,31,female\nc.jpg,31\n,4,male\nd.jpg,400,male\ne.jpg,20-29,male\n",
    )
    notes: list[ReaderNote] = []
    records = read_labels(path, on_note=notes.append)
    assert [record.path.name for record in records] == ["b.jpg", "e.jpg"]
    assert kinds(notes) == {NoteKind.BAD_ROW: 4}
    assert [f"row {row}" in note.text for row, note in zip((2, 4, 5, 6), notes, strict=True)] == [True] * 4
    assert next(told_notes(records, notes)) == "4 rows left out as unusable:"
    with pytest.raises(InvalidInputError, match="row 2: age 'young'"):
        read_labels(path)
    result = CliRunner().invoke(cli.main, ["check", str(path), "--json"])
    assert result.exit_code == 3
    found = {finding["kind"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert (found["bad_row"]["count"], found["bad_row"]["severity"]) == (4, "problem")


def test_a_table_without_one_good_row_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", "file,age\na.jpg,young\nb.jpg,old\n")
    result = CliRunner().invoke(cli.main, ["check", str(path)])
    assert result.exit_code == 2
    assert "row 2: age 'young'" in result.stderr
    assert "no other row" in result.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fairface_label_train.csv", "file,age,gender,race\nt/1.jpg,50-95,Male,Black\nt/2.jpg,50-59,Male,Black\n"),
        ("All_Ratings.csv", "Rater,Filename,Rating\n1,AF1.jpg,7\n1,AF2.jpg,3\n"),
    ],
)
def test_a_bad_row_of_a_known_data_set_stops_nothing(name: str, text: str, tmp_path: Path) -> None:
    notes: list[ReaderNote] = []
    table(tmp_path / name, text)
    assert [r.path.name for r in read_labels(tmp_path, on_note=notes.append) if r.gender] == [
        "2.jpg" if name.startswith("fair") else "AF2.jpg"
    ]
    assert "row 2" in notes[0].text


# Decimal commas


def test_rising_ages_with_a_comma_are_refused_with_both_readings(shared: Path) -> None:
    path = report(shared, "B22/de_age_rising_only.csv")
    result = CliRunner().invoke(cli.main, ["check", str(path)])
    assert result.exit_code == 2
    assert "row 2: age_years is '25,50', which may be 25.50 (a decimal comma) or the bucket 25-50" in result.stderr


@pytest.mark.parametrize("showing", ["31,5", "25,05", "40,0", "20,125"])
def test_a_column_that_shows_decimal_commas_is_read_so(showing: str, tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", f"file;age\na.jpg;25,50\nb.jpg;{showing}\nc.jpg;31\n")
    first, second, third = read_labels(path)
    assert (first.age_low_years, first.age_high_years) == (25, 26)
    assert second.age_years == pytest.approx(float(showing.replace(",", ".")) + (0.5 if showing == "40,0" else 0))
    assert third.age_low_years == 31


def test_decimal_commas_of_ratings_count_for_ages_too(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", "file;age;rating;rating_std;num_raters\na.jpg;25,50;3,5;0,25;3\n")
    (record,) = read_labels(path)
    assert (record.age_low_years, record.rating, record.rating_std, record.num_raters) == (25, 3.5, 0.25, 3)


def test_a_comma_that_may_stand_between_thousands_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"row 2: rating is '1,234'.* 1\.234 .* 1234"):
        read_labels(table(tmp_path / "mine.csv", "file;rating\na.jpg;1,234\n"))


def test_buckets_in_parentheses_stay_buckets(tmp_path: Path) -> None:
    for text in ("(25, 32)", "[25,32]", "25-32", "25 to 32"):
        label = parse_age(text)
        assert (label.low_years, label.high_years) == (25, 33)
    with pytest.raises(InvalidInputError, match=r"may be 25\.50 or the bucket 25-50"):
        parse_age("25,50")
    text = 'file,age\na.jpg,"(25, 32)"\n'
    assert read_labels(table(tmp_path / "mine.csv", text))[0].age_high_years == 33


def test_ratings_of_scut_with_decimal_commas(tmp_path: Path) -> None:
    path = table(tmp_path / "All_Ratings.csv", "Rater;Filename;Rating\n1;AF1.jpg;3,5\n2;AF1.jpg;4,5\n")
    assert read_labels(path)[0].rating == 4


# Encodings, separators, ends of lines

PLAIN = "file;age;gender\np/0.jpg;25;Männlich\np/1.jpg;31;female\n"


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        ("sep=;\n" + PLAIN).encode(),
        ('"sep=;"\r\n' + PLAIN.replace("\n", "\r\n")).encode("utf-8-sig"),
        ("sep=\t\n" + PLAIN.replace(";", "\t")).encode("utf-16"),
        PLAIN.replace(";", "|").encode(),
        PLAIN.replace(";", ",").encode(),
        ("\n\n" + PLAIN).encode(),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_a_table_reads_alike_however_it_was_saved(data: bytes, tmp_path: Path) -> None:
    first, second = read_labels(table(tmp_path / "mine.csv", data))
    assert (first.path, first.age_low_years, first.gender) == (tmp_path / "p/0.jpg", 25, "männlich")
    assert (second.age_low_years, second.gender) == (31, "female")


def test_the_line_that_names_the_separator_is_counted(shared: Path, tmp_path: Path) -> None:
    (record,) = read_labels(report(shared, "B22/sep_line.csv"))
    assert (record.age_low_years, record.gender) == (25, "male")
    with pytest.raises(InvalidInputError, match="row 3: age 'young'"):
        read_labels(table(tmp_path / "mine.csv", "sep=;\nfile;age\na.jpg;young\n"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (PLAIN.encode("utf-16-le"), "UTF-16 without its mark"),
        (PLAIN.encode("latin-1"), "not UTF-8"),
        (codecs.BOM_UTF16_LE + b"abc", "not UTF-16"),
        (b"sep=;\n", "is empty"),
    ],
)
def test_an_encoding_that_cannot_be_read_is_named(data: bytes, said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.main, ["check", str(table(tmp_path / "mine.csv", data))])
    assert result.exit_code == 2
    assert said in result.stderr


# Excel


def test_the_sheet_of_labels_is_read_and_the_notes_are_told(shared: Path) -> None:
    pytest.importorskip("openpyxl", reason="openpyxl is missing; it reads Excel files")
    path = report(shared, "B23/labels.xlsx")
    notes: list[ReaderNote] = []
    records = read_labels(path, on_note=notes.append)
    assert [record.age_low_years for record in records] == [20, 3, 30, 41, 10]
    assert [len(record.notes) for record in records] == [0, 1, 0, 0, 1]
    assert all(record.path.is_file() for record in records)
    assert kinds(notes) == {NoteKind.OTHER_SHEET: 1}
    assert "sheet 'notes' was not read" in notes[0].text
    assert any("2 photos with an age bucket that a spreadsheet" in line for line in told_notes(records, notes))


HEAD = ("file", "gender", "age")


def test_sheets_are_told_by_their_columns(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "mine.xlsx",
        readme=[["about", "about", "these labels"]],
        train=[[], HEAD, ("a.jpg", "male", 31), ("b.jpg", "female", None)],
        val=[("gender", "file"), ("male", "c.jpg")],
        empty=[],
    )
    assert detect_kind(path) is Kind.TABLE
    notes: list[ReaderNote] = []
    records = read_labels(path, on_note=notes.append)
    told = [(record.path.name, record.gender, record.age_low_years) for record in records]
    assert told == [("a.jpg", "male", 31), ("b.jpg", "female", None), ("c.jpg", "male", None)]
    assert ["readme" in note.text for note in notes] == [True]
    with pytest.raises(InvalidInputError, match="sheet train, row 3: age 'old' is no age"):
        read_labels(workbook(path, train=[[], HEAD, ("a.jpg", "male", "old")]))


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([("Rater", "Filename", "Rating"), (1, "AF1.jpg", 3)], Kind.SCUT),
        ([("Rater", "Filename", "Rating"), (1, "anna.jpg", 70)], Kind.TABLE),
        ([("file", "age", "gender", "race", "service_test"), ("t/1.jpg", "3-9", "Male", "Black", True)], Kind.FAIRFACE),
        ([("file", "rating"), ("a.jpg", 3)], Kind.TABLE),
    ],
)
def test_the_columns_say_what_an_excel_file_is(rows: list[tuple[Any, ...]], kind: Kind, tmp_path: Path) -> None:
    path = workbook(tmp_path / "mine.xlsx", labels=rows, notes=[["anything"]])
    assert detect_kind(path) is kind
    assert len(read_labels(path)) == 1


def test_an_excel_file_without_labels_names_its_sheets(tmp_path: Path) -> None:
    path = workbook(tmp_path / "mine.xlsx", one=[("a", "b")], two=[("c",)])
    with pytest.raises(InvalidInputError, match="one: a, b; two: c"):
        read_labels(path)
    path = workbook(tmp_path / "mine.xlsx", dates=[HEAD, ("a.jpg", "male", datetime.datetime(2026, 3, 9))])
    assert read_labels(path)[0].age_low_years == 3


# Several raters

LONG = """Filename;Rater;Rating;gender
a.jpg;anna;60;male
b.jpg;anna;20;
a.jpg;ben;80;
a.jpg;ben;90;male
b.jpg;ben;nan;
"""


def test_ratings_of_several_people_are_gathered(tmp_path: Path) -> None:
    path = table(tmp_path / "mine.csv", LONG)
    assert detect_kind(path) is Kind.TABLE
    first, second = read_labels(path)
    assert (first.path.name, first.gender, first.rating, first.num_raters) == ("a.jpg", "male", 72.5, 2)
    assert first.rating_std == pytest.approx(statistics.stdev([60, 85]))
    assert (second.rating, second.rating_std, second.num_raters, second.gender) == (20, None, 1, None)
    assert kinds(second.notes) == {NoteKind.NO_LABEL_WORD: 1}


def test_contradictions_between_rows_of_a_photo_are_bad_rows(tmp_path: Path) -> None:
    notes: list[ReaderNote] = []
    text = LONG + "a.jpg;carl;10;female\na.jpg;;10;male\n"
    first, _ = read_labels(table(tmp_path / "mine.csv", text), on_note=notes.append)
    assert (first.rating, first.gender) == (72.5, "male")
    assert "row 7: gender is 'female', and 'male' in an earlier row" in notes[0].text
    assert "row 8: rater is ''" in notes[1].text


def test_a_column_for_each_rater(tmp_path: Path) -> None:
    path = table(
        tmp_path / "mine.csv", "file,rater_1,rater_2,Rater 3\na.jpg,3,4,5\nb.jpg,,2,n/a\nc.jpg,,,\nd.jpg,1,x1,3\n"
    )
    notes: list[ReaderNote] = []
    first, second, third = read_labels(path, on_note=notes.append)
    assert (first.rating, first.rating_std, first.num_raters) == (4, 1, 3)
    assert (second.rating, second.rating_std, second.num_raters) == (2, None, 1)
    assert third.rating is None
    assert "row 5: rater_2 is 'x1'" in notes[0].text


# Predictions are no labels


def test_results_are_no_labels(tmp_path: Path) -> None:
    content = pa.table({"file": ["a.jpg"], "gender": ["male"]}).replace_schema_metadata({"facestats": "{}"})
    pq.write_table(content, tmp_path / "faces.parquet")
    with pytest.raises(InvalidInputError, match="predictions, no labels"):
        read_labels(tmp_path / "faces.parquet")


def test_what_is_told_of_records_without_notes_is_nothing() -> None:
    assert list(told_notes([LabelledPhoto(path=Path("/a.jpg"), dataset="mine")], [])) == []


def test_class_labels_of_a_forest_read_alike_however_they_were_saved(shared: Path) -> None:
    from fsexport.heads.forest_artifact import read_labels as read_class_labels

    marked, plain = (report(shared, f"B20/{name}.txt") for name in ("labels_bom_crlf_blank", "labels_lf"))
    assert read_class_labels(marked) == read_class_labels(plain)
