"""FairFace: a CSV of the official form, and the photos that it names."""

from __future__ import annotations

import difflib
from pathlib import Path, PurePosixPath

from fsdata.labels.age_label import AgeLabel, parse_age
from fsdata.labels.known_labels import FAIRFACE, FAIRFACE_AGES, FAIRFACE_ETHNICITIES, GENDERS
from fsdata.labels.photo_paths import place_photo
from fsdata.labels.readers.cell_values import labels_of
from fsdata.labels.readers.table_rows import TableRow, read_each, read_rows, require_columns
from fsdata.labels.record import LabelledPhoto, NoteKind, OnNote, ReaderNote
from fsengine.errors import InvalidInputError

COLUMNS = ("file", "age", "gender", "race")
"""Columns that are read; the official `service_test` says nothing of the photo itself."""

_BUCKETS = {
    name: AgeLabel(low_years=bucket.low_years, high_years=bucket.high_years)
    for bucket in FAIRFACE_AGES
    for name in (bucket.name, bucket.short_name)
}


def read_fairface(labels: Path, on_note: OnNote | None = None) -> list[LabelledPhoto]:
    """Read an official label file, `fairface_label_train.csv` or `fairface_label_val.csv`.

    Files are relative to the label file's folder; their first folder, `train` or `val`, is the fold. Genders become
    lower case. An age bucket that a spreadsheet turned into a date is read as what it was, with a note.

    Args:
        labels: CSV with the columns file, age, gender, race.
        on_note: Called for each row that cannot be used, and is left out; None refuses a file with such a row.

    Returns:
        A record per row, in the order of the rows.

    Raises:
        InvalidInputError: The file has other columns, or a row has a label that FairFace does not know.
    """
    rows = read_rows(labels, lambda names: set(COLUMNS) <= set(names), on_note)
    require_columns(labels, rows, COLUMNS)
    return read_each(rows, lambda row: _photo(row, labels.parent), on_note)


def _photo(row: TableRow, folder: Path) -> LabelledPhoto:
    file = row.cells["file"]
    cells, notes = labels_of({name: row.cells[name] for name in ("age", "gender", "race")})
    age, repairs = _age(cells["age"]) if cells["age"] else (None, ())
    first = PurePosixPath(file).parts[:1]
    return LabelledPhoto(
        path=place_photo(file, [folder]),
        dataset=FAIRFACE,
        gender=_known("gender", cells["gender"].lower(), GENDERS),
        age_low_years=None if age is None else age.low_years,
        age_high_years=None if age is None else age.high_years,
        ethnicity=_known("race", cells["race"], FAIRFACE_ETHNICITIES),
        fold=first[0] if first and first[0] in {"train", "val"} else None,
        notes=(*notes, *repairs),
    )


def _age(text: str) -> tuple[AgeLabel, tuple[ReaderNote, ...]]:
    if text in _BUCKETS:
        return _BUCKETS[text], ()
    try:
        age = parse_age(text)
    except InvalidInputError:
        age = None
    if age is None or age.repaired not in _BUCKETS:
        raise _unknown("age", text, tuple(bucket.name for bucket in FAIRFACE_AGES))
    return age, (ReaderNote(kind=NoteKind.MANGLED_BUCKET, text=f"age {text!r} was read as {age.repaired}"),)


def _known(name: str, label: str, known: tuple[str, ...]) -> str | None:
    if label and label not in known:
        raise _unknown(name, label, known)
    return label or None


def _unknown(name: str, label: str, known: tuple[str, ...]) -> InvalidInputError:
    near = difflib.get_close_matches(label, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "correct it, or read the file as kind 'table'"
    return InvalidInputError(f"{name} is {label!r}, expected one of {', '.join(known)}; {hint}")
