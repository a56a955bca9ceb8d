"""UTKFace: a folder of photos whose names hold the labels."""

from __future__ import annotations

import re
from pathlib import Path

from fsdata.labels.known_labels import UTKFACE, UTKFACE_ETHNICITIES
from fsdata.labels.photo_paths import photos_in
from fsdata.labels.record import LabelledPhoto, NoteKind, ReaderNote
from fsengine.errors import InvalidInputError

GENDERS = ("male", "female")
"""In the order of the numbers in the file names."""

_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+\.(?:jpg|jpeg|png)(?:\.chip\.jpg)?", re.IGNORECASE)
_OLDEST_YEARS = 116
_EXPECTED = "[age 0-116]_[gender 0-1]_[race 0-4]_[date&time].jpg"


def read_utkface(folder: Path) -> list[LabelledPhoto]:
    """Read a folder of UTKFace photos, with `.chip.jpg` at the end or without.

    A few names of the official archive lack a number. Such a photo becomes a record without labels and with a note, so
    that the check reports it.

    Args:
        folder: Folder that holds the photos directly.

    Returns:
        A record per photo, in the order of the names.

    Raises:
        InvalidInputError: The folder cannot be read, or no name in it has the form of UTKFace.
    """
    paths = photos_in(folder)
    photos = [_photo(path) for path in paths]
    if all(photo.notes for photo in photos):
        shown = ", ".join(path.name for path in paths[:3])
        raise InvalidInputError(
            f"{folder} holds no photo with a name of UTKFace ({shown or 'no photo at all'}); expected {_EXPECTED}"
        )
    return photos


def is_utkface_name(name: str) -> bool:
    """Return whether a file's name holds UTKFace's labels."""
    match = _NAME.fullmatch(name)
    return match is not None and int(match[1]) <= _OLDEST_YEARS


def _photo(path: Path) -> LabelledPhoto:
    match = _NAME.fullmatch(path.name)
    if match is None or not is_utkface_name(path.name):
        note = ReaderNote(kind=NoteKind.MALFORMED_NAME, text=f"name {path.name!r} is not {_EXPECTED}")
        return LabelledPhoto(path=path, dataset=UTKFACE, notes=(note,))
    return LabelledPhoto(
        path=path,
        dataset=UTKFACE,
        gender=GENDERS[int(match[2])],
        age_low_years=float(match[1]),
        age_high_years=float(match[1]) + 1,
        ethnicity=UTKFACE_ETHNICITIES[int(match[3])],
    )
