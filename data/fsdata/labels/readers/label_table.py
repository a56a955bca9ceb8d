"""Label tables of the user's own, and folders whose sub-folders are the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from fsdata.labels.age_label import parse_age
from fsdata.labels.photo_paths import folders_in, photos_in, place_photo
from fsdata.labels.readers.table_rows import TableRow, read_rows, require_columns, row_context
from fsdata.labels.record import LabelledPhoto, NoteKind, ReaderNote
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
    "split": ("split", "fold"),
}
"""What is read, to the column names that it is looked for under, in this order and in any case."""


class Attribute(str, Enum):
    """What the names of sub-folders say of the photos in them."""

    GENDER = "gender"
    AGE = "age"
    ETHNICITY = "ethnicity"
    RATING = "rating"
    IDENTITY = "identity"


def read_label_table(path: Path, columns: Mapping[str, str] | None = None) -> list[LabelledPhoto]:
    """Read a CSV, TSV or Parquet table with a row per photo.

    A photo is looked for relative to the table's folder, then to the folder above; one that lies nowhere stays a
    record. Where a row has both an exact age and a bucket, the exact age counts. Genders become lower case.

    Args:
        path: The table.
        columns: A key of `NAMES` to the name of the table's column, for columns that have other names.

    Returns:
        A record per row, in the order of the rows.

    Raises:
        InvalidInputError: The table cannot be read, has no column of files or none of labels, or a row cannot be used.
    """
    rows = read_rows(path)
    require_columns(path, rows, (columns or {}).values())
    found = _find_columns(path, list(rows[0].cells), columns or {})
    return [_photo(row, found, path) for row in rows]


def read_folder(folder: Path, attribute: Attribute, dataset: str | None = None) -> list[LabelledPhoto]:
    """Read a folder whose sub-folders hold photos and are named by a label.

    Args:
        folder: The folder of the sub-folders.
        attribute: What their names say.
        dataset: Name of the data set; the folder's own name by default.

    Returns:
        A record per photo, in the order of sub-folders and names.

    Raises:
        InvalidInputError: There are no photos, or a name is no label of the attribute.
    """
    photos: list[LabelledPhoto] = []
    for sub in folders_in(folder):
        with row_context(f"folder {sub}"):
            cells = {"age_years" if attribute is Attribute.AGE else attribute.value: sub.name}
            photos += [_labelled(path, dataset or folder.absolute().name, cells) for path in photos_in(sub)]
    if not photos:
        raise InvalidInputError(f"{folder} has no sub-folders with photos; expected one for each {attribute.value}")
    return photos


def _find_columns(path: Path, present: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the table's column of each key of NAMES that it has."""
    unknown = [key for key in given if key not in NAMES]
    if unknown:
        raise InvalidInputError(f"{', '.join(unknown)} cannot be mapped; expected keys of {', '.join(NAMES)}")
    lower = {name.lower(): name for name in reversed(present)}
    found = {
        key: next(lower[name] for name in names if name in lower)
        for key, names in NAMES.items()
        if any(name in lower for name in names)
    }
    found |= given
    if "file" not in found:
        raise InvalidInputError(
            f"{path} has the columns {', '.join(present)}, and none of the photos' files; "
            f"name one of them {' or '.join(NAMES['file'])}, or map it"
        )
    if not set(found) - {"file", "dataset", "split"}:
        raise InvalidInputError(
            f"{path} has the columns {', '.join(present)}, and none of labels; expected one of "
            f"{', '.join(key for key in NAMES if key not in {'file', 'dataset', 'split'})}"
        )
    return found


def _photo(row: TableRow, columns: dict[str, str], table: Path) -> LabelledPhoto:
    with row_context(row.place):
        cells = {key: row.cells[column] for key, column in columns.items()}
        folder = table.absolute().parent
        return _labelled(place_photo(cells["file"], [folder, folder.parent]), cells.get("dataset") or table.stem, cells)


def _labelled(path: Path, dataset: str, cells: Mapping[str, str]) -> LabelledPhoto:
    """Return the record of a photo from texts by keys of NAMES; a missing or empty one is no label."""
    age_text = cells.get("age_years") or cells.get("age_bucket")
    age = parse_age(age_text) if age_text else None
    notes: tuple[ReaderNote, ...] = ()
    if age is not None and age.repaired:
        notes = (ReaderNote(kind=NoteKind.MANGLED_BUCKET, text=f"age {age_text!r} was read as {age.repaired}"),)
    raters = _number("num_raters", cells)
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
        rating=_number("rating", cells),
        rating_std=_number("rating_std", cells),
        num_raters=None if raters is None else int(raters),
        fold=cells.get("split") or None,
        notes=notes,
    )


def _number(key: str, cells: Mapping[str, str]) -> float | None:
    text = cells.get(key)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInputError(f"{key} is {text!r}, expected a number, or nothing where there is none")
    return number
