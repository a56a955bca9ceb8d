"""Which of the files that are found in a source are taken: by patterns, by what they are, and how many of them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b
from itertools import islice
from operator import itemgetter
from typing import TypeVar

from fsclient.photos.no_photos import FOLDERS, HIDDEN, begins_like_a_photo, kind_by_name
from fsengine.errors import InvalidInputError

T = TypeVar("T")

EXCLUDED = "excluded"
SPECIAL = "pipe, socket or device"

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
        share: (I, N), to take one of N shares of what is found, I from 0: a photo belongs to one by the hash of its
            source, those in a tar shard or a table by the hash of that. None for all.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    strict: bool = False
    limit: int | None = None
    sample: int | None = None
    column: str | None = None
    id_column: str | None = None
    share: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, number in (("limit", self.limit), ("sample", self.sample)):
            if number is not None and (not isinstance(number, int) or number < 1):
                raise InvalidInputError(f"{name} is {number!r}, expected a whole number, 1 or more")

        if self.share is not None and not (len(self.share) == 2 and 0 <= self.share[0] < self.share[1]):
            raise InvalidInputError(f"shard is {self.share!r}, expected (I, N) with I from 0 to N - 1")
        if self.id_column is not None and self.column is None:
            raise InvalidInputError("id_column names photos in the column of a table; expected column too")

    def chosen(self, entries: Iterator[T]) -> Iterator[T]:
        """Return what `sample` and `limit` leave, in its order; a sample is drawn once all are known."""
        if self.sample is not None:
            # Algorithm R of Vitter, https://doi.org/10.1145/3147.3165
            draw = random.Random(_SEED)  # noqa: S311 - a sample that is the same each time
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
        if name.lower() in FOLDERS:
            return name
        return HIDDEN if name.startswith(".") else None

    def why_skip_file(
        self, relative: bytes, path: bytes | None, *, regular: bool = True, asked_for: bool = False
    ) -> str | None:
        """Return why a file is skipped, in a word; None where it is taken.

        Args:
            relative: Its path relative to the source.
            path: Its path; it is read where its name is not that of a photo. None where its name alone tells.
            regular: Whether it is a regular file, or a link that leads to one or to nothing.
            asked_for: Whether a pattern asks for files of its kind; see `holds_photos`.
        """
        if self.excludes(relative):
            return EXCLUDED
        if self.strict or (self.include and _matches(relative, self.include)):
            return None
        if not regular:
            return SPECIAL
        if asked_for or (self.column is not None and is_table(relative)):
            return None
        kind = kind_by_name(os.fsdecode(os.path.basename(relative)))
        return None if kind is None or (path is not None and begins_like_a_photo(path)) else kind

    def why_skip_by_name(self, relative: bytes, *, asked_for: bool = False) -> str | None:
        """Return why what lies in a store or a shard is skipped, in words; names alone tell, those of folders too.

        Args:
            relative: Its path relative to the source; what leads out of that counts for nothing.
            asked_for: See `why_skip_file`.
        """
        parts = [part for part in relative.split(b"/") if part not in (b"", b".", b"..")]
        for number in range(1, len(parts)):
            if (why := self.why_skip_folder(b"/".join(parts[:number]))) is not None:
                return f"below a folder: {why}"
        return self.why_skip_file(b"/".join(parts), None, asked_for=asked_for)

    def holds_photos(self, name: bytes) -> bool:
        """Return whether a file of this name, or what the last part of a pattern asks for, holds photos and is none."""
        return is_tar(name) or (self.column is not None and is_table(name))

    def is_in_share(self, text: str) -> bool:
        """Return whether a source belongs to the share of all that is taken; see `share`."""
        if self.share is None:
            return True
        number, of = self.share
        digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "little") % of == number


def is_tar(name: bytes) -> bool:
    """Return whether a file is a tar shard by its name."""
    return name.lower().endswith((b".tar", b".tar.gz", b".tgz"))


def is_table(name: bytes) -> bool:
    """Return whether a file is a Parquet file by its name."""
    return name.lower().endswith(b".parquet")


def _matches(relative: bytes, patterns: tuple[str, ...]) -> bool:
    path = os.fsdecode(relative)
    name = path.rstrip("/").rpartition("/")[2]
    return any(fnmatchcase(path, pattern) or fnmatchcase(name, pattern) for pattern in patterns)
