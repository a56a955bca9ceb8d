"""What people give as photos: a data set with labels, a folder, or a list of paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fsdata.labels.photo_paths import folders_in, is_file, photos_in
from fsdata.labels.readers.data_sets import Kind, detect_kind, read_labels
from fsdata.labels.readers.label_table import Attribute
from fsdata.labels.readers.table_rows import TABLE_SUFFIXES
from fsdata.labels.record import LabelledPhoto, OnNote
from fsengine.errors import InvalidInputError
from fsengine.files.path_list import STDIN, read_path_list

UNLABELLED = "photos"
"""Data set of photos of which nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSource:
    """Where labelled photos are read, and how.

    Attributes:
        path: Label file, folder or list; `-` for a list on stdin.
        kind: See `read_labels`, as for the others.
        attribute: The same.
        columns: The same.
    """

    path: Path
    kind: Kind | None = None
    attribute: Attribute | None = None
    columns: Mapping[str, str] | None = None

    @property
    def says_labels(self) -> bool:
        """Return whether an option says that there are labels."""
        return self.kind is not None or self.attribute is not None or bool(self.columns)

    def read(self, on_note: OnNote | None = None) -> list[LabelledPhoto]:
        """Return the labelled photos.

        Raises:
            InvalidInputError: See `read_labels`.
            MissingDependencyError: The same.
        """
        return read_labels(self.path, self.kind, attribute=self.attribute, columns=self.columns, on_note=on_note)


def given_records(source: LabelSource, on_note: OnNote | None = None) -> list[LabelledPhoto]:
    """Return the photos of a data set, or without labels those of a list or of a folder in which no labels are told.

    Args:
        source: What is given.
        on_note: See `read_labels`.

    Raises:
        InvalidInputError: It cannot be read, or holds no photos.
    """
    if source.says_labels or not is_unlabelled(source.path):
        return source.read(on_note)
    return [unlabelled(path) for path in given_paths(source.path)]


def given_paths(path: Path) -> list[Path]:
    """Return the photos of a list, or of a folder with all below it, each once.

    Raises:
        InvalidInputError: It cannot be read, or holds none.
    """
    if path.is_dir():
        found = photos_below(path)
        if not found:
            raise InvalidInputError(f"{path} holds no photos; expected files such as .jpg or .png in it or below it")
        return found
    listed = read_path_list(os.fspath(path))
    if any(b"\0" in line for line in listed):
        raise InvalidInputError(f"the list {path} holds NUL bytes; expected a path in each line")
    return list(dict.fromkeys(Path(os.path.abspath(os.fsdecode(line))) for line in listed))


def photos_below(folder: Path) -> list[Path]:
    """Return the photos in a folder and in all below it, by name; hidden ones and links to folders are left out.

    Raises:
        InvalidInputError: A folder cannot be read.
    """
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        found += photos_in(here)
        waiting += reversed([below for below in folders_in(here) if not below.is_symlink()])
    return found


def is_list(path: Path) -> bool:
    """Return whether a file is a list of photos, and no table of labels: its first line is the path of one."""
    if os.fspath(path) == STDIN:
        return True
    if not is_file(path):
        return False
    suffix = path.suffix.lower()
    if suffix != ".txt":
        return suffix not in TABLE_SUFFIXES and suffix not in (".xls", ".ods", ".json", ".jsonl", ".parq")
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 16).removeprefix(b"\xef\xbb\xbf").strip(b"\r\n")
    except OSError:
        return False  # whoever reads it says why
    return first.startswith(b"/") or (b"\0" not in first and is_file(Path(os.fsdecode(first))))


def is_unlabelled(path: Path) -> bool:
    """Return whether nothing is told of the photos that a path names: a list, or a folder that is no data set.

    Raises:
        InvalidInputError: It is not there.
    """
    if is_list(path):
        return True
    if not path.is_dir():
        if not os.path.lexists(path):
            raise InvalidInputError(f"{path} does not exist; expected a label file, a list or a folder of photos")
        return False
    try:
        detect_kind(path)
    except InvalidInputError:
        return True
    return False


def unlabelled(path: Path) -> LabelledPhoto:
    """Return the record of a photo of which nothing is known."""
    return LabelledPhoto(path=path, dataset=UNLABELLED)


def reasons_text(left_out: Mapping[str, int]) -> str:
    """Return in words how many photos were left out, and why."""
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
