"""SCUT-FBP5500: the ratings of all raters, gathered into one record per photo."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from fsdata.labels.known_labels import SCUT, SCUT_RATINGS
from fsdata.labels.photo_paths import place_photo
from fsdata.labels.readers.table_rows import TableRow, read_rows, require_columns, row_context
from fsdata.labels.record import LabelledPhoto
from fsengine.errors import InvalidInputError

COLUMNS = ("Rater", "Filename", "Rating")
"""Columns that are read; `original Rating` is what a rater said first of a photo that was shown twice."""

PHOTO_FOLDER = "Images"
"""Folder of the photos in the official archive, beside the ratings."""

_NAME = re.compile(r"([AC])([FM])\d+\..+")
_ETHNICITIES = {"A": "Asian", "C": "Caucasian"}
_GENDERS = {"F": "female", "M": "male"}


def read_scut(ratings: Path, photo_folder: Path | None = None) -> list[LabelledPhoto]:
    """Read All_Ratings.csv or All_Ratings.xlsx: a row per rater and photo.

    Of an Excel file all sheets are read. Each rater counts once per photo, with the mean of what he or she said, so
    that a sheet which repeats others changes nothing. Gender and ethnicity come from names such as `AF12.jpg`.

    Args:
        ratings: Table with the columns Rater, Filename, Rating.
        photo_folder: Folder of the photos; by default `Images` beside the table, then the table's own folder.

    Returns:
        A record per photo, in the order of the names.

    Raises:
        InvalidInputError: The table has other columns, or a rating is no number of 1 to 5.
        MissingDependencyError: The table is an Excel file, and openpyxl is not installed.
    """
    rows = read_rows(ratings)
    require_columns(ratings, rows, COLUMNS)
    told: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        with row_context(row.place):
            rater, name = row.cells["Rater"], row.cells["Filename"]
            if not rater or not name:
                raise InvalidInputError(f"rater is {rater!r} and file is {name!r}; expected both in every row")
            told.setdefault(name, {}).setdefault(rater, []).append(_rating(row))
    folders = [ratings.parent / PHOTO_FOLDER, ratings.parent] if photo_folder is None else [photo_folder]
    return [_photo(name, list(map(statistics.fmean, told[name].values())), folders) for name in sorted(told)]


def _photo(name: str, ratings: list[float], folders: list[Path]) -> LabelledPhoto:
    match = _NAME.fullmatch(name)
    return LabelledPhoto(
        path=place_photo(name, folders),
        dataset=SCUT,
        gender=_GENDERS[match[2]] if match else None,
        ethnicity=_ETHNICITIES[match[1]] if match else None,
        rating=statistics.fmean(ratings),
        rating_std=statistics.stdev(ratings) if len(ratings) > 1 else None,
        num_raters=len(ratings),
    )


def _rating(row: TableRow) -> float:
    lowest, highest = SCUT_RATINGS
    text = row.cells["Rating"]
    try:
        rating = float(text)
    except ValueError:
        rating = float("nan")
    # False for NaN too.
    if not lowest <= rating <= highest:
        raise InvalidInputError(f"rating is {text!r}, expected a number of {lowest:g} to {highest:g}; correct the row")
    return rating
