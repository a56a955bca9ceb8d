"""What ships with the project in addition to its code: the model repository, the `lite` pack, photos.

In a wheel the first two lie inside this package, in a source tree at its top; the photos lie in `fsdata`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fsengine.errors import PackError

SHIPPED_PACK = "lite"
"""What is served where nobody says what: small models under permissive licences."""


RETIRED_PACKS = {"demo": SHIPPED_PACK}
"""Packs that earlier versions shipped, and which one took their place."""


def shipped_folder(name: str) -> Path:
    """Return a folder that ships with the project.

    Args:
        name: `model_repository` or `packs`.

    Raises:
        PackError: The installation is incomplete.
    """
    package = Path(str(files("fsengine")))
    candidates = (package / "shipped" / name, package.parents[1] / name)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise PackError(
        f"{name} is missing from this installation; looked in {', '.join(map(str, candidates))}. "
        "Install facestats again"
    )


PHOTOS_WITH_FACES = ("astronaut.jpg", "hopper.jpg", "obama.jpg", "solvay_conference_1927.jpg")
"""Photos that ship, one to thirty faces on each; `fsdata/photo_sources.tsv` says where they are from."""


def shipped_photos() -> list[Path]:
    """Return photos that ship and have faces on them.

    Raises:
        PackError: The installation is incomplete.
    """
    package = Path(str(files("fsengine")))
    for folder in (package.parent / "fsdata" / "photos", package.parents[1] / "data" / "fsdata" / "photos"):
        photos = [folder / name for name in PHOTOS_WITH_FACES]
        if all(photo.is_file() for photo in photos):
            return photos
    raise PackError(
        "the photos that ship are missing from this installation; install facestats again, or give --photos"
    )
