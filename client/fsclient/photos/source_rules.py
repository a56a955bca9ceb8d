"""Which of the files that are found in folders are no photos: told by their names, and then by their first bytes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b
from itertools import islice
from operator import itemgetter
from typing import TypeVar

from fsengine.errors import InvalidInputError
from fsengine.photo.signatures import sniff_format

T = TypeVar("T")

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
    "label": "cls cls2 id idx index inx",
    "tensor": "pickle pyd pt pth ten tb mp msgpack",
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
        column: The column of Parquet files that holds photos; None where such files are none.
        id_column: The column that names them; None for the number of the row.
        shard: (I, N), to take one of N shares of what is found, I from 0: a photo belongs to one by the hash of its
            source, those in a tar shard or a table by the hash of that. None for all.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    strict: bool = False
    limit: int | None = None
    sample: int | None = None
    column: str | None = None
    id_column: str | None = None
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, number in (("limit", self.limit), ("sample", self.sample)):
            if number is not None and (not isinstance(number, int) or number < 1):
                raise InvalidInputError(f"{name} is {number!r}, expected a whole number, 1 or more")

        if self.shard is not None and not (len(self.shard) == 2 and 0 <= self.shard[0] < self.shard[1]):
            raise InvalidInputError(f"shard is {self.shard!r}, expected (I, N) with I from 0 to N - 1")
        if self.id_column is not None and self.column is None:
            raise InvalidInputError("id_column names photos in the column of a table; expected column too")

    def chosen(self, entries: Iterator[T]) -> Iterator[T]:
        """Return what `sample` and `limit` leave, in its order; a sample is drawn once all are known."""
        if self.sample is not None:
            # Algorithm R of Vitter, https://doi.org/10.1145/3147.3165
            draw = random.Random(_SEED)
            drawn: list[tuple[int, T]] = []
            for number, entry in enumerate(entries):
                if number < self.sample:
                    drawn.append((number, entry))
                elif (place := draw.randrange(number + 1)) < self.sample:
                    drawn[place] = (number, entry)
            entries = (entry for _, entry in sorted(drawn, key=itemgetter(0)))
        return islice(entries, self.limit)

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

    def why_skip_file(
        self, relative: bytes, path: bytes | None, *, regular: bool = True, named: bool = False
    ) -> str | None:
        """Return why a file is skipped, in a word; None where it is taken.

        Args:
            relative: Its path relative to the source.
            path: Its path; it is read where its name is not that of a photo. None where its name alone tells.
            regular: Whether it is a regular file, or a link that leads to one or to nothing.
            named: Whether a pattern asks for files of its kind; see `names_container`.
        """
        if self.excludes(relative):
            return EXCLUDED
        if self.strict or (self.include and _matches(relative, self.include)):
            return None
        if not regular:
            return SPECIAL
        if named or (self.column is not None and is_table(relative)):
            return None
        kind = _kind_by_name(os.fsdecode(os.path.basename(relative)))
        return None if kind is None or (path is not None and _begins_like_a_photo(path)) else kind

    def why_skip_named(self, relative: bytes, *, named: bool = False) -> str | None:
        """Return why what lies in a store or a shard is skipped, in words; names alone tell, those of folders too.

        Args:
            relative: Its path relative to the source; what leads out of that counts for nothing.
            named: See `why_skip_file`.
        """
        parts = [part for part in relative.split(b"/") if part not in (b"", b".", b"..")]
        for number in range(1, len(parts)):
            if (why := self.why_skip_folder(b"/".join(parts[:number]))) is not None:
                return f"below a folder: {why}"
        return self.why_skip_file(b"/".join(parts), None, named=named)

    def names_container(self, pattern: bytes) -> bool:
        """Return whether the last part of a pattern asks for tar shards, or for tables whose photos are wanted."""
        return is_shard(pattern) or (self.column is not None and is_table(pattern))

    def holds_photos(self, name: bytes) -> bool:
        """Return whether a file of this name is not a photo but holds some."""
        return is_shard(name) or (self.column is not None and is_table(name))

    def is_of_shard(self, text: str) -> bool:
        """Return whether a source belongs to the share of all that is taken; see `shard`."""
        if self.shard is None:
            return True
        number, of = self.shard
        digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "little") % of == number


def is_shard(name: bytes) -> bool:
    """Return whether a file is a tar shard by its name."""
    return name.lower().endswith((b".tar", b".tar.gz", b".tgz"))


def is_table(name: bytes) -> bool:
    """Return whether a file is a Parquet file by its name."""
    return name.lower().endswith(b".parquet")


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
