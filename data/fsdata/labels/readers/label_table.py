"""Label tables of the user's own, and folders whose sub-folders are the labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path

from fsdata.labels.age_label import parse_age
from fsdata.labels.photo_paths import folders_in, photos_in, place_photo
from fsdata.labels.readers.cell_values import has_decimal_commas, is_no_label, labels_of, number, with_point
from fsdata.labels.readers.ratings import gather
from fsdata.labels.readers.table_rows import TableRow, read_each, read_rows, require_columns
from fsdata.labels.record import LabelledPhoto, NoteKind, OnNote, ReaderNote
from fsengine.errors import InvalidInputError

NAMES = {
    "file": ("file", "path", "filename", "photo", "image"),
    "dataset": ("dataset",),
    "identity": ("identity", "person", "person_id", "subject"),
    "gender": ("gender", "sex"),
    "age_years": ("age_years", "age"),
    "age_bucket": ("age_bucket", "age_group"),
    "ethnicity": ("ethnicity", "race"),
    "rating": ("rating", "score", "attractiveness"),
    "rating_std": ("rating_std",),
    "num_raters": ("num_raters",),
    "rater": ("rater", "rater_id", "annotator"),
    "split": ("split", "fold"),
}
"""What is read, to the column names that it is looked for under, in this order and in any case."""

_NO_LABELS = frozenset({"file", "dataset", "split", "rater"})
"""Keys of `NAMES` that say nothing of a face by themselves."""

_NUMBERS = {"age_years": True, "age_bucket": True, "rating": False, "rating_std": False, "num_raters": False}
"""Keys of `NAMES` whose cells are numbers, to whether they are ages."""

_RATER_COLUMN = re.compile(r"(?:rater|rating|annotator)[ _-]*\d+", re.IGNORECASE)
"""A column of one rater, such as `rater_3`: a row then holds all ratings of its photo."""


class Attribute(str, Enum):
    """What the names of sub-folders say of the photos in them."""

    GENDER = "gender"
    AGE = "age"
    ETHNICITY = "ethnicity"
    RATING = "rating"
    IDENTITY = "identity"


def read_label_table(
    path: Path, columns: Mapping[str, str] | None = None, on_note: OnNote | None = None
) -> list[LabelledPhoto]:
    """Read a CSV, TSV, Parquet or Excel table with a row per photo, or a row per photo and rater.

    A photo is looked for relative to the table's folder, then to the folder above; one that lies nowhere stays a
    record. Where a row has both an exact age and a bucket, the exact age counts. Genders become lower case. What says
    that there is no label (`cell_values.NO_LABEL_WORDS`) is none, with a note. With a column of raters, or a column for
    each rater (`rater_1`, `rater_2`), ratings are gathered into mean, deviation and number.

    Args:
        path: The table.
        columns: A key of `NAMES` to the name of the table's column, for columns that have other names.
        on_note: Called for each row that cannot be used, and for each other sheet of an Excel file; None refuses a
            table with such a row.

    Returns:
        A record per row, in the order of the rows; with raters a record per photo, in the order of their first rows.

    Raises:
        InvalidInputError: The table cannot be read, has no column of files or none of labels, or a row cannot be used.
        MissingDependencyError: It is an Excel file, and openpyxl is not installed.
    """
    given = columns or {}
    rows = read_rows(path, lambda names: _is_complete(_columns_of(names, given), names), on_note)
    require_columns(path, rows, given.values())
    layouts = {names: _find_columns(path, list(names), given) for names in dict.fromkeys(tuple(r.cells) for r in rows)}
    cells = [{key: row.cells[column] for key, column in layouts[tuple(row.cells)].items()} for row in rows]
    rater_columns = [name for name in rows[0].cells if _RATER_COLUMN.fullmatch(name)]
    if "rating" in cells[0] or len(rater_columns) < 2:
        rater_columns = []
    if _has_commas(rows, cells, rater_columns):
        for of_row in cells:
            of_row.update({key: with_point(of_row[key]) for key in _NUMBERS if key in of_row})
        rows = [replace(row, cells={name: with_point(text) for name, text in row.cells.items()}) for row in rows]
    numbered = {row.place: of_row for row, of_row in zip(rows, cells, strict=True)}
    if "rater" in cells[0] and "rating" in cells[0]:
        return _gathered(rows, numbered, path, on_note)

    def read(row: TableRow) -> LabelledPhoto:
        of_row = numbered[row.place]
        if not rater_columns:
            return _photo(of_row, path)
        said, notes = labels_of({name: row.cells[name] for name in rater_columns})
        told = {name: number(name, text) for name, text in said.items()}
        rating = gather({name: [value] for name, value in told.items() if value is not None})
        return _with_rating(_photo(of_row, path), rating.mean, rating.std, rating.count, notes)

    return read_each(rows, read, on_note)


def read_folder(
    folder: Path, attribute: Attribute, dataset: str | None = None, on_note: OnNote | None = None
) -> list[LabelledPhoto]:
    """Read a folder whose sub-folders hold photos and are named by a label.

    Args:
        folder: The folder of the sub-folders.
        attribute: What their names say.
        dataset: Name of the data set; the folder's own name by default.
        on_note: Called for each sub-folder whose name is no label of the attribute, and is left out; None refuses it.

    Returns:
        A record per photo, in the order of sub-folders and names.

    Raises:
        InvalidInputError: There are no photos, or a name is no label of the attribute.
    """
    key = "age_years" if attribute is Attribute.AGE else attribute.value
    rows = [TableRow(place=f"folder {sub}", cells={key: sub.name, "file": str(sub)}) for sub in folders_in(folder)]

    def read(row: TableRow) -> list[LabelledPhoto]:
        cells = {key: row.cells[key]}
        return [
            _labelled(path, dataset or folder.absolute().name, cells) for path in photos_in(Path(row.cells["file"]))
        ]

    photos = [photo for of_sub in read_each(rows, read, on_note) for photo in of_sub]
    if not photos:
        raise InvalidInputError(f"{folder} has no sub-folders with photos; expected one for each {attribute.value}")
    return photos


def _columns_of(present: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the table's column of each key of NAMES that it has."""
    lower = {name.lower(): name for name in reversed(present)}
    found = {
        key: next(lower[name] for name in names if name in lower)
        for key, names in NAMES.items()
        if any(name in lower for name in names)
    }
    return found | dict(given)


def _is_complete(found: Mapping[str, str], present: Sequence[str]) -> bool:
    """Return whether a table has the files of photos, and labels of them."""
    return "file" in found and set(found.values()) <= set(present) and _has_labels(found, present)


def _has_labels(found: Mapping[str, str], present: Sequence[str]) -> bool:
    return bool(set(found) - _NO_LABELS) or sum(bool(_RATER_COLUMN.fullmatch(name)) for name in present) > 1


def _find_columns(path: Path, present: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the table's column of each key of NAMES that it has.

    Raises:
        InvalidInputError: It has no files or no labels.
    """
    unknown = [key for key in given if key not in NAMES]
    if unknown:
        raise InvalidInputError(f"{', '.join(unknown)} cannot be mapped; expected keys of {', '.join(NAMES)}")
    found = _columns_of(present, given)
    if "file" not in found:
        raise InvalidInputError(
            f"{path} has the columns {', '.join(present)}, and none of the photos' files; "
            f"name one of them {' or '.join(NAMES['file'])}, or map it"
        )
    if not _has_labels(found, present):
        raise InvalidInputError(
            f"{path} has the columns {', '.join(present)}, and none of labels; expected one of "
            f"{', '.join(key for key in NAMES if key not in _NO_LABELS)}"
        )
    return found


def _has_commas(rows: list[TableRow], cells: list[dict[str, str]], rater_columns: list[str]) -> bool:
    """Return whether numbers have decimal commas; see `has_decimal_commas`."""
    known = [
        (key, is_age, [(row.place, of_row[key]) for row, of_row in zip(rows, cells, strict=True) if key in of_row])
        for key, is_age in _NUMBERS.items()
    ]
    raters = [(name, False, [(row.place, row.cells.get(name, "")) for row in rows]) for name in rater_columns]
    # Ratings first: a column of ages may be read by what they show.
    return has_decimal_commas(sorted([*known, *raters], key=lambda column: column[1]))


def _gathered(
    rows: list[TableRow], cells: Mapping[str, dict[str, str]], path: Path, on_note: OnNote | None
) -> list[LabelledPhoto]:
    """Return a record per photo of a table with a row per photo and rater."""
    photos: dict[Path, LabelledPhoto] = {}
    told: dict[Path, dict[str, list[float]]] = {}

    def read(row: TableRow) -> None:
        of_row = dict(cells[row.place])
        rater = of_row.pop("rater")
        if is_no_label(rater):
            raise InvalidInputError(f"rater is {rater!r}; expected who rated, in every row")
        photo = _photo({**of_row, "rating_std": "", "num_raters": ""}, path)
        first = photos.setdefault(photo.path, replace(photo, rating=None))
        for name in ("identity", "gender", "age_low_years", "age_high_years", "ethnicity"):
            one, other = getattr(first, name), getattr(photo, name)
            if None not in (one, other) and one != other:
                raise InvalidInputError(f"{name} is {other!r}, and {one!r} in an earlier row of the same photo")
            if one is None and other is not None and not name.startswith("age"):
                first = replace(first, **{name: other})
        if first.age_low_years is None:
            first = replace(first, age_low_years=photo.age_low_years, age_high_years=photo.age_high_years)
        photos[photo.path] = replace(first, notes=tuple(dict.fromkeys((*first.notes, *photo.notes))))
        if photo.rating is not None:
            told.setdefault(photo.path, {}).setdefault(rater, []).append(photo.rating)

    read_each(rows, read, on_note)
    ratings = {place: gather(told.get(place, {})) for place in photos}
    return [_with_rating(p, ratings[at].mean, ratings[at].std, ratings[at].count, ()) for at, p in photos.items()]


def _with_rating(
    photo: LabelledPhoto, mean: float | None, std: float | None, count: int | None, notes: tuple[ReaderNote, ...]
) -> LabelledPhoto:
    return replace(photo, rating=mean, rating_std=std, num_raters=count, notes=(*photo.notes, *notes))


def _photo(cells: dict[str, str], table: Path) -> LabelledPhoto:
    if is_no_label(cells["file"]) and cells["file"]:
        raise InvalidInputError(f"the photo's file is {cells['file']!r}; expected a path")
    folder = table.absolute().parent
    path = place_photo(cells["file"], [folder, folder.parent])
    dataset = cells.get("dataset", "")
    return _labelled(path, table.stem if is_no_label(dataset) else dataset, cells)


def _labelled(path: Path, dataset: str, cells: Mapping[str, str]) -> LabelledPhoto:
    """Return the record of a photo from texts by keys of NAMES; a missing or empty one is no label."""
    cells, notes = labels_of({key: text for key, text in cells.items() if key not in {"file", "dataset"}})
    age_text = cells.get("age_years") or cells.get("age_bucket")
    age = parse_age(age_text) if age_text else None
    if age is not None and age.repaired:
        text = f"age {age_text!r} was read as {age.repaired}"
        notes = (*notes, ReaderNote(kind=NoteKind.MANGLED_BUCKET, text=text))
    raters = number("num_raters", cells.get("num_raters", ""))
    if raters is not None and not raters.is_integer():
        raise InvalidInputError(f"num_raters is {raters}, expected a whole number")
    return LabelledPhoto(
        path=path,
        dataset=dataset,
        identity=cells.get("identity") or None,
        gender=cells.get("gender", "").lower() or None,
        age_low_years=None if age is None else age.low_years,
        age_high_years=None if age is None else age.high_years,
        ethnicity=cells.get("ethnicity") or None,
        rating=number("rating", cells.get("rating", "")),
        rating_std=number("rating_std", cells.get("rating_std", "")),
        num_raters=None if raters is None else int(raters),
        fold=cells.get("split") or None,
        notes=notes,
    )
