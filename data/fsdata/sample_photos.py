"""The public-domain and CC0 photos that ship with the project, and what is known of each."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePhoto:
    """One shipped photo.

    Attributes:
        path: Where it lies.
        num_faces: Faces that a person counts on it.
        source: Repository and path that it comes from.
        licence: Why it may be shipped.
        sha256: Its hash in hex.
    """

    path: Path
    num_faces: int
    source: str
    licence: str
    sha256: str


def sample_folder() -> Path:
    """Return the folder of the shipped photos."""
    return Path(str(files("fsdata"))) / "photos"


def sample_photos() -> list[SamplePhoto]:
    """Return the shipped photos with what `photo_sources.tsv` says of them."""
    table = sample_folder().with_name("photo_sources.tsv")
    with table.open(newline="") as file:
        return [
            SamplePhoto(
                path=sample_folder() / row["file"],
                num_faces=int(row["faces"]),
                source=row["source"],
                licence=row["licence"],
                sha256=row["sha256"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]
