"""Where the photos of a data set lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fsengine.errors import InvalidInputError

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""Endings of files that count as photos where a folder is searched."""


def place_photo(name: str, folders: Sequence[Path]) -> Path:
    """Return the absolute path of a photo that a table names.

    Args:
        name: Path as the table writes it, relative or absolute.
        folders: Folders that it may be relative to, the likeliest first.

    Returns:
        The first place where it lies; that in the first folder where it lies in none, for the check to report.

    Raises:
        InvalidInputError: The name is empty.
    """
    if not name:
        raise InvalidInputError("the photo's file is empty; expected a path")
    if "\0" in name:
        raise InvalidInputError(f"the photo's file {name!r} holds a zero byte; expected a path")
    # Tables that were written on Windows.
    if os.sep == "/" and "\\" in name and "/" not in name:
        name = name.replace("\\", "/")
    places = [Path(os.path.abspath(folder / name)) for folder in folders]
    return next((place for place in places if is_file(place)), places[0])


def is_file(path: Path) -> bool:
    """Return whether a file is there; of a name that is too long, it is not."""
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file raises


def photos_in(folder: Path) -> list[Path]:
    """Return the photos directly in a folder, in the order of their names.

    Raises:
        InvalidInputError: The folder cannot be read.
    """
    try:
        found = [entry.path for entry in os.scandir(folder) if _is_photo(entry)]
    except OSError as exc:
        raise InvalidInputError(f"{folder} cannot be read: {exc.strerror or exc}; expected a folder of photos") from exc
    return [Path(os.path.abspath(path)) for path in sorted(found)]


def folders_in(folder: Path) -> list[Path]:
    """Return the folders directly in a folder, in the order of their names, without hidden ones.

    Raises:
        InvalidInputError: The folder cannot be read.
    """
    try:
        found = [entry.path for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as exc:
        raise InvalidInputError(f"{folder} cannot be read: {exc.strerror or exc}; expected a folder") from exc
    return [Path(os.path.abspath(path)) for path in sorted(found)]


def _is_photo(entry: os.DirEntry[str]) -> bool:
    return Path(entry.name).suffix.lower() in PHOTO_SUFFIXES and not entry.name.startswith(".") and entry.is_file()
