"""The one way to read a data set of any kind that FaceStats knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from fsdata.labels.age_label import parse_age
from fsdata.labels.known_labels import GENDERS, known_ethnicities
from fsdata.labels.photo_paths import folders_in, is_file, photos_in
from fsdata.labels.readers.adience import COLUMNS as ADIENCE_COLUMNS
from fsdata.labels.readers.adience import read_adience
from fsdata.labels.readers.cell_values import is_no_label
from fsdata.labels.readers.fairface import COLUMNS as FAIRFACE_COLUMNS
from fsdata.labels.readers.fairface import read_fairface
from fsdata.labels.readers.label_table import Attribute, read_folder, read_label_table
from fsdata.labels.readers.scut import is_scut_table, read_scut
from fsdata.labels.readers.table_rows import TABLE_SUFFIXES, read_headers
from fsdata.labels.readers.utkface import is_utkface_name, read_utkface
from fsdata.labels.record import LabelledPhoto, OnNote
from fsengine.errors import InvalidInputError

FAIRFACE_LABELS = "fairface_label_*.csv"
ADIENCE_FOLDS = "fold_*_data.txt"
SCUT_RATINGS = ("All_Ratings.csv", "All_Ratings.xlsx")


class Kind(str, Enum):
    """Kinds of data sets."""

    FAIRFACE = "fairface"
    UTKFACE = "utkface"
    SCUT = "scut"
    ADIENCE = "adience"
    TABLE = "table"
    FOLDER = "folder"


def read_labels(
    path: Path,
    kind: Kind | None = None,
    *,
    attribute: Attribute | None = None,
    columns: Mapping[str, str] | None = None,
    on_note: OnNote | None = None,
) -> list[LabelledPhoto]:
    """Read a data set: a table, or a folder that holds one.

    Args:
        path: Label file or folder. A folder may hold `fairface_label_*.csv` or `fold_*_data.txt` (all of them are
            read), `All_Ratings.csv` or `.xlsx`, photos with names of UTKFace, or sub-folders that are named by a label.
        kind: What it is; told by names and columns by default.
        attribute: What the names of sub-folders say; told by the names by default. For `Kind.FOLDER` alone.
        columns: Columns with other names, see `read_label_table`. For `Kind.TABLE` alone.
        on_note: Called for each row that cannot be used, and is left out, and for each sheet of an Excel file that
            holds no labels; None refuses a table with such a row.

    Returns:
        A record per photo.

    Raises:
        InvalidInputError: It cannot be read as that kind, or it cannot be told what it is.
        MissingDependencyError: It is an Excel file, and openpyxl is not installed.
    """
    if not is_file(path) and not os.path.isdir(path):
        raise InvalidInputError(
            f"{path} does not exist, or is no file; expected a label file, or a folder of labelled photos"
        )
    if kind is None:
        kind = _stated_kind(attribute, columns) or detect_kind(path)
    if attribute is not None and kind is not Kind.FOLDER:
        raise InvalidInputError(
            f"attribute says what sub-folders are, and {path} is read as {kind.value}; leave it out"
        )
    if columns and kind is not Kind.TABLE:
        raise InvalidInputError(f"columns are mapped in tables, and {path} is read as {kind.value}; leave them out")
    match kind:
        case Kind.FAIRFACE:
            return [photo for file in _files(path, FAIRFACE_LABELS) for photo in read_fairface(file, on_note)]
        case Kind.UTKFACE:
            return read_utkface(path)
        case Kind.SCUT:
            return read_scut(_scut_file(path), on_note=on_note)
        case Kind.ADIENCE:
            return [photo for file in _files(path, ADIENCE_FOLDS) for photo in read_adience(file, on_note)]
        case Kind.TABLE:
            return read_label_table(path, columns, on_note)
        case Kind.FOLDER:
            return read_folder(path, attribute or _told_attribute(path), on_note=on_note)
        case _:
            raise AssertionError(kind)


def detect_kind(path: Path) -> Kind:
    """Return what a data set is by its names and columns.

    Raises:
        InvalidInputError: It cannot be told.
    """
    if not path.is_dir():
        return _kind_of_file(path)
    if any(path.glob(FAIRFACE_LABELS)):
        return Kind.FAIRFACE
    if any(path.glob(ADIENCE_FOLDS)):
        return Kind.ADIENCE
    if any((path / name).is_file() for name in SCUT_RATINGS):
        return Kind.SCUT
    names = [photo.name for photo in photos_in(path)]
    if names and sum(map(is_utkface_name, names)) * 2 > len(names):
        return Kind.UTKFACE
    if any(photos_in(folder) for folder in folders_in(path)):
        return Kind.FOLDER
    raise InvalidInputError(
        f"{path} is no data set that can be told: it has no {FAIRFACE_LABELS}, no {ADIENCE_FOLDS}, no "
        f"{' or '.join(SCUT_RATINGS)}, no photos named as UTKFace's and no sub-folders with photos; give the label "
        "file itself, or the kind"
    )


def _kind_of_file(path: Path) -> Kind:
    if path.suffix.lower() not in TABLE_SUFFIXES:
        return Kind.TABLE
    for header in read_headers(path):
        # A table of the user's own may have FairFace's columns; these two together are FairFace's alone.
        if {*FAIRFACE_COLUMNS, "service_test"} <= set(header):
            return Kind.FAIRFACE
        if set(ADIENCE_COLUMNS) <= set(header):
            return Kind.ADIENCE
    return Kind.SCUT if is_scut_table(path) else Kind.TABLE


def _stated_kind(attribute: Attribute | None, columns: Mapping[str, str] | None) -> Kind | None:
    if attribute is not None:
        return Kind.FOLDER
    return Kind.TABLE if columns else None


def _files(path: Path, pattern: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob(pattern))
    if not found:
        raise InvalidInputError(f"{path} holds no {pattern}; give the label file itself")
    return found


def _scut_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    # The CSV first: it needs no further library.
    for name in SCUT_RATINGS:
        if (path / name).is_file():
            return path / name
    raise InvalidInputError(f"{path} holds no {' or '.join(SCUT_RATINGS)}; give the table of ratings itself")


def _told_attribute(folder: Path) -> Attribute:
    """Return what the names of the sub-folders with photos are, where all of them are of one kind."""
    names = [sub.name for sub in folders_in(folder) if photos_in(sub) and not is_no_label(sub.name)]
    ethnicities = known_ethnicities("")
    if names and all(name.lower() in GENDERS for name in names):
        return Attribute.GENDER
    if names and all(name in ethnicities for name in names):
        return Attribute.ETHNICITY
    if names and any("-" in name for name in names) and all(map(_is_age, names)):
        return Attribute.AGE
    # Plain numbers may be ages, ratings or people.
    raise InvalidInputError(
        f"the sub-folders of {folder} ({', '.join(names[:5]) or 'none with photos'}) may be anything; give the "
        f"attribute that they are: {', '.join(item.value for item in Attribute)}"
    )


def _is_age(name: str) -> bool:
    try:
        parse_age(name)
    except InvalidInputError:
        return False
    return True
