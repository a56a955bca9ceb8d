"""Adience: its fold files, and the faces that they name."""

from __future__ import annotations

from pathlib import Path

from fsdata.labels.age_label import parse_age
from fsdata.labels.known_labels import ADIENCE
from fsdata.labels.photo_paths import is_file, place_photo
from fsdata.labels.readers.cell_values import labels_of
from fsdata.labels.readers.table_rows import TableRow, read_each, read_rows, require_columns
from fsdata.labels.record import LabelledPhoto, OnNote
from fsengine.errors import InvalidInputError

COLUMNS = ("user_id", "original_image", "face_id", "age", "gender")
"""Columns that are read; the others say where the face lies on the original photo."""

_GENDERS = {"f": "female", "m": "male", "female": "female", "male": "male"}

_PLACES = (
    "aligned/{user}/landmark_aligned_face.{face}.{image}",
    "faces/{user}/coarse_tilt_aligned_face.{face}.{image}",
    "{user}/landmark_aligned_face.{face}.{image}",
    "{user}/coarse_tilt_aligned_face.{face}.{image}",
)
"""Where the official archives hold a face, below the folder of the fold files or the one above."""


def read_adience(fold: Path, on_note: OnNote | None = None) -> list[LabelledPhoto]:
    """Read a fold file, such as `fold_0_data.txt`.

    A face without an age (`None`) or with a gender that annotators could not tell (`u`) stays a record with what is
    known of it. Photos of one user are of few persons, so the user is taken for the identity: splits keep them
    together, as the folds of Adience do.

    Args:
        fold: Table with the columns of `COLUMNS`.
        on_note: Called for each row that cannot be used, and is left out; None refuses a file with such a row.

    Returns:
        A record per face, in the order of the rows. The photo is the aligned or coarse crop of the archives where it is
        there, else the original photo.

    Raises:
        InvalidInputError: The file has other columns, or a row cannot be used.
    """
    rows = read_rows(fold, lambda names: set(COLUMNS) <= set(names), on_note)
    require_columns(fold, rows, COLUMNS)
    return read_each(rows, lambda row: _photo(row, fold.absolute()), on_note)


def _photo(row: TableRow, fold: Path) -> LabelledPhoto:
    cells, notes = labels_of({"age": row.cells["age"], "gender": row.cells["gender"]})
    age = parse_age(cells["age"]) if cells["age"] else None
    gender = cells["gender"].lower()
    if gender and gender not in _GENDERS:
        raise InvalidInputError(f"gender is {gender!r}, expected f, m or u")
    return LabelledPhoto(
        path=_place(row, [fold.parent, fold.parent.parent]),
        dataset=ADIENCE,
        identity=row.cells["user_id"] or None,
        gender=_GENDERS[gender] if gender else None,
        age_low_years=None if age is None else age.low_years,
        age_high_years=None if age is None else age.high_years,
        fold=fold.stem.removesuffix("_data"),
        notes=notes,
    )


def _place(row: TableRow, folders: list[Path]) -> Path:
    user, face, image = (row.cells[name] for name in ("user_id", "face_id", "original_image"))
    if user and face and image:
        for place in _PLACES:
            path = place_photo(place.format(user=user, face=face, image=image), folders)
            if is_file(path):
                return path
    return place_photo(image, folders)
