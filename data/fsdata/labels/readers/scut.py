"""SCUT-FBP5500: the ratings of all raters, gathered into one record per photo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fsdata.labels.known_labels import SCUT, SCUT_RATINGS
from fsdata.labels.photo_paths import place_photo
from fsdata.labels.readers.cell_values import has_decimal_commas, labels_of, with_point
from fsdata.labels.readers.ratings import gather
from fsdata.labels.readers.table_rows import TableRow, read_each, read_headers, read_rows, require_columns
from fsdata.labels.record import LabelledPhoto, OnNote, ReaderNote
from fsengine.errors import InvalidInputError

COLUMNS = ("Rater", "Filename", "Rating")
"""Columns that are read; `original Rating` is what a rater said first of a photo that was shown twice."""

PHOTO_FOLDER = "Images"
"""Folder of the photos in the official archive, beside the ratings."""

_NAME = re.compile(r"([AC])([FM])\d+\..+")
_ETHNICITIES = {"A": "Asian", "C": "Caucasian"}
_GENDERS = {"F": "female", "M": "male"}


def read_scut(ratings: Path, photo_folder: Path | None = None, on_note: OnNote | None = None) -> list[LabelledPhoto]:
    """Read All_Ratings.csv or All_Ratings.xlsx: a row per rater and photo.

    Of an Excel file all sheets with these columns are read. Each rater counts once per photo, with the mean of what he
    or she said, so that a sheet which repeats others changes nothing. Gender and ethnicity come from names such as
    `AF12.jpg`.

    Args:
        ratings: Table with the columns Rater, Filename, Rating.
        photo_folder: Folder of the photos; by default `Images` beside the table, then the table's own folder.
        on_note: Called for each row that cannot be used, and for each other sheet; None refuses such a row.

    Returns:
        A record per photo, in the order of the names.

    Raises:
        InvalidInputError: The table has other columns, or a rating is no number of 1 to 5.
        MissingDependencyError: The table is an Excel file, and openpyxl is not installed.
    """
    rows = read_rows(ratings, lambda names: set(COLUMNS) <= set(names), on_note)
    require_columns(ratings, rows, COLUMNS)
    commas = has_decimal_commas([("rating", False, [(row.place, row.cells["Rating"]) for row in rows])])
    told: dict[str, dict[str, list[float]]] = {}
    notes: dict[str, list[ReaderNote]] = {}

    def read(row: TableRow) -> None:
        rater, name = row.cells["Rater"], row.cells["Filename"]
        if not rater or not name:
            raise InvalidInputError(f"rater is {rater!r} and file is {name!r}; expected both in every row")
        cells, found = labels_of({"rating": row.cells["Rating"]})
        text = cells["rating"]
        rated = [_rating(with_point(text) if commas else text)] if text else []
        told.setdefault(name, {}).setdefault(rater, []).extend(rated)
        notes.setdefault(name, []).extend(found)

    read_each(rows, read, on_note)
    folders = [ratings.parent / PHOTO_FOLDER, ratings.parent] if photo_folder is None else [photo_folder]
    return [_photo(name, told[name], notes[name], folders) for name in sorted(told)]


def is_scut_table(ratings: Path) -> bool:
    """Return whether a table is SCUT-FBP5500's: its columns, and names of photos of its form.

    A user's own table may have the same columns.
    """
    if not any(set(COLUMNS) <= set(names) for names in read_headers(ratings)):
        return False
    names = [row.cells.get("Filename", "") for row in read_rows(ratings, lambda names: set(COLUMNS) <= set(names))]
    return 2 * sum(map(bool, map(_NAME.fullmatch, names))) > len(names)


def _photo(name: str, told: dict[str, list[float]], notes: Sequence[ReaderNote], folders: list[Path]) -> LabelledPhoto:
    match = _NAME.fullmatch(name)
    rating = gather(told)
    return LabelledPhoto(
        path=place_photo(name, folders),
        dataset=SCUT,
        gender=_GENDERS[match[2]] if match else None,
        ethnicity=_ETHNICITIES[match[1]] if match else None,
        rating=rating.mean,
        rating_std=rating.std,
        num_raters=rating.count,
        notes=tuple(dict.fromkeys(notes)),
    )


def _rating(text: str) -> float:
    lowest, highest = SCUT_RATINGS
    try:
        rating = float(text)
    except ValueError:
        rating = float("nan")
    # False for NaN too.
    if not lowest <= rating <= highest:
        raise InvalidInputError(f"rating is {text!r}, expected a number of {lowest:g} to {highest:g}; correct the row")
    return rating
