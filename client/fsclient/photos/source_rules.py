"""Which of the files that are found in folders are no photos: told by their names, and then by their first bytes."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fsengine.errors import InvalidInputError
from fsengine.photo.signatures import sniff_format

EXCLUDED = "excluded"
HIDDEN = "hidden"
SPECIAL = "pipe, socket or device"

_FOLDERS = frozenset(
    {
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "__macosx",
        "lost+found",
    }
)
"""Lower-case names of folders in which systems keep what is no user's photo; hidden ones need no name here."""

_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

_SUFFIXES: Mapping[str, str] = {
    "text": "txt text md rst log nfo htm html pdf doc docx odt rtf tex ppt pptx py sh bat ipynb ini cfg conf toml",
    "table": "csv tsv xls xlsx ods parquet feather arrow db sqlite npy npz mat pkl",
    "side-car": "xmp aae json jsonl xml yaml yml pp3 dop cos picasa md5 sha1 sha256",
    "video": "mp4 mov avi mkv webm m4v mpg mpeg wmv flv 3gp mts m2ts vob ogv",
    "audio": "mp3 wav m4a flac aac ogg oga opus wma aif aiff amr",
    "archive": "zip tar gz tgz bz2 xz zst 7z rar",
}
"""Kind of file to lower-case suffixes, without the dot."""

_KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

_NO_PHOTOS = frozenset({None, "PDF", "SVG", "ICO"})
"""What the first bytes may announce that is no photo; all else is one, whether it is read or not."""

_HEAD_BYTES = 64
_SEED = 0


@dataclass(frozen=True, slots=True)
class SourceRules:
    """Which files that are found in a source are taken; a file that is named itself is, unless it is excluded.

    A pattern is compared, as by `fnmatch`, with a file's path relative to the source and with its name. Where several
    rules hold, `exclude` wins over `include`, and both win over what names tell.

    Attributes:
        include: Patterns of files and folders that are taken whatever they are.
        exclude: Patterns of files and folders that are left out.
        strict: Whether every file is taken that is not excluded.
        limit: How many photos are taken at most, the first in the order of the search; None for all.
        sample: How many are drawn from all, with a fixed seed; None for no drawing.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    strict: bool = False
    limit: int | None = None
    sample: int | None = None

    def __post_init__(self) -> None:
        for name, number in (("limit", self.limit), ("sample", self.sample)):
            if number is not None and (not isinstance(number, int) or number < 1):
                raise InvalidInputError(f"{name} is {number!r}, expected a whole number, 1 or more")

    def chosen(self, paths: list[bytes]) -> list[bytes]:
        """Return the photos that `sample` and `limit` leave, in their order."""
        if self.sample is not None and self.sample < len(paths):
            drawn = random.Random(_SEED).sample(range(len(paths)), self.sample)
            paths = [paths[number] for number in sorted(drawn)]
        return paths[: self.limit]

    def excludes(self, relative: bytes) -> bool:
        """Return whether a file, by its path relative to the source, is left out by a pattern."""
        return bool(self.exclude) and _matches(relative, self.exclude)

    def why_skip_folder(self, relative: bytes) -> str | None:
        """Return why a folder is skipped with all in it, in a word or its name; None where it is searched.

        Args:
            relative: Its path relative to the source.
        """
        if self.exclude and (_matches(relative, self.exclude) or _matches(relative + b"/", self.exclude)):
            return EXCLUDED
        if self.strict:
            return None
        if self.include and (_matches(relative, self.include) or _matches(relative + b"/", self.include)):
            return None
        name = os.fsdecode(os.path.basename(relative))
        if name.lower() in _FOLDERS:
            return name
        return HIDDEN if name.startswith(".") else None

    def why_skip_file(self, relative: bytes, path: bytes, *, regular: bool) -> str | None:
        """Return why a file is skipped, in a word; None where it is taken.

        Args:
            relative: Its path relative to the source.
            path: Its path; it is read where its name is not that of a photo.
            regular: Whether it is a regular file, or a link that leads to one or to nothing.
        """
        if self.excludes(relative):
            return EXCLUDED
        if self.strict or (self.include and _matches(relative, self.include)):
            return None
        if not regular:
            return SPECIAL
        kind = _kind_by_name(os.fsdecode(os.path.basename(relative)))
        return None if kind is None or _begins_like_a_photo(path) else kind


def _matches(relative: bytes, patterns: tuple[str, ...]) -> bool:
    path = os.fsdecode(relative)
    name = path.rstrip("/").rpartition("/")[2]
    return any(fnmatchcase(path, pattern) or fnmatchcase(name, pattern) for pattern in patterns)


def _kind_by_name(name: str) -> str | None:
    """Return what a file is by its name where that is no photo."""
    if name.startswith("."):
        return HIDDEN
    lower = name.lower()
    if lower in _SYSTEM_FILES:
        return "system file"
    return _KIND_OF_SUFFIX.get(lower.rpartition(".")[2]) if "." in lower else None


def _begins_like_a_photo(path: bytes) -> bool:
    """Return whether a file's first bytes are those of a photo; a file that cannot be read may be one."""
    try:
        # The file may be exchanged for a pipe since it was listed: that is not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return sniff_format(os.read(descriptor, _HEAD_BYTES)) not in _NO_PHOTOS
        finally:
            os.close(descriptor)
    except OSError:
        return True
