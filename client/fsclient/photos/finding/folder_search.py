"""Photos in files, folders and patterns: each file once, in a stable order."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from fsclient.photos.finding.folder_entries import is_folder, is_regular, matches_part
from fsclient.photos.finding.left_out_folder import LeftOutFolder, identity_of
from fsclient.photos.finding.look_alikes import look_alike_hint, url_hint
from fsclient.photos.finding.seen import SeenTexts
from fsclient.photos.finding.tally import Tally
from fsclient.photos.source_rules import EXCLUDED, SourceRules
from fsdata.results.source import source_text
from fsengine.errors import InvalidInputError

WILDCARDS = frozenset(b"*?[")
_LINK_TO_FOLDER = "link to a folder"
_SECOND_NAME = "link to a photo that is taken"
_SORTED_AT_A_TIME = 100_000
"""Names of one folder that are held and sorted; a larger folder gives its names in runs of so many."""

_LINKS_IN_MEMORY = 1 << 20


class FolderSearch:
    """The state of one search.

    A file is known by its place: the real path of its folder, and its name. Paths are kept as they were given, since
    results and labels are looked up by them. Memory follows the number of folders and, where files may be reached in
    several ways, 16 bytes for each file.
    """

    def __init__(self, skip: Path | None, rules: SourceRules, tally: Tally, *, once: bool) -> None:
        """Prepare.

        Args:
            skip: A folder whose content is left out, however it is reached: the one that results are written to.
            rules: Which files are taken.
            tally: Counts what is left out.
            once: Whether every file can be reached in one way only, links apart: one source.
        """
        self._rules = rules
        self._tally = tally
        self._left_out = LeftOutFolder(skip)
        self._taken = None if once else SeenTexts()
        self._skipped: dict[str, SeenTexts] = {}
        self._skipped_folders: dict[bytes, str] = {}
        self._searched: set[tuple[int, int]] = set()
        self._unreadable: set[bytes] = set()
        self._links: IO[bytes] = tempfile.SpooledTemporaryFile(_LINKS_IN_MEMORY)  # noqa: SIM115 - it lasts as long as the search
        weakref.finalize(self, self._links.close)
        self._num_links = 0

    def argument(self, argument: bytes) -> Iterator[bytes]:
        """Search one argument, and yield the paths of its files.

        Raises:
            InvalidInputError: It names nothing.
        """
        path = os.path.abspath(argument)
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            if WILDCARDS & set(argument):
                yield from self._pattern(argument)
                return
            raise InvalidInputError(
                f"{os.fsdecode(argument)!r} does not exist; expected a photo, a folder of photos or a pattern"
                f"{url_hint(argument)}{look_alike_hint(path)}"
            ) from None
        except OSError as exc:
            self._note_unreadable(path, f"cannot be read: {exc.strerror}")
            return
        except ValueError as exc:
            raise InvalidInputError(f"{os.fsdecode(argument)!a} is no path: {exc}") from exc
        yield from self._there(path)

    def check(self, argument: bytes) -> None:
        """Refuse an argument that names nothing, before the search of another takes hours.

        Raises:
            InvalidInputError: See `argument`.
        """
        if not os.path.lexists(argument):
            trial = FolderSearch(None, self._rules, Tally(), once=True)
            next(trial.argument(argument), None)

    def listed(self, listed: bytes) -> Iterator[bytes]:
        """Take or search one path of a list; what is missing is noted."""
        path = os.path.abspath(listed)
        try:
            os.lstat(path)
        except (OSError, ValueError) as exc:
            self._note_unreadable(path, f"cannot be read: {getattr(exc, 'strerror', None) or exc}")
            return
        yield from self._there(path)

    def links(self) -> Iterator[bytes]:
        """Yield the links to files that were met, once all else is known.

        Links to files that are taken too, second links to one file, and links into the results are left out.
        """
        if not self._num_links:
            return
        self._links.seek(0)
        targets = SeenTexts()
        for record in _records(self._links):
            place, _, path = record.partition(b"\0")
            target = os.path.realpath(place)
            if os.path.exists(target):
                if self._left_out.holds(os.path.split(target)[0]):
                    continue
                known = (self._taken is not None and target in self._taken) or not targets.add(target)
                if known or (self._taken is None and self._was_taken(target)):
                    self._skip(place, _SECOND_NAME)
                    continue
            yield path

    def _was_taken(self, target: bytes) -> bool:
        """Return whether the one source that was searched holds a file that a link leads to."""
        folder, name = os.path.split(target)
        identity = identity_of(folder)
        was_searched = identity is not None and identity in self._searched
        return was_searched and self._rules.why_skip_file(name, target) is None

    def _there(self, path: bytes) -> Iterator[bytes]:
        """Take a file, or search a folder, that was named itself."""
        if os.path.isdir(path):
            yield from self._folder(path)
            return
        folder, name = os.path.split(path)
        real = os.path.realpath(folder)
        if self._left_out.holds(real):
            return
        place = os.path.join(real, name)
        if self._rules.excludes(name):
            self._skip(place, EXCLUDED)
            return
        for kind, places in self._skipped.items():
            if place in places:
                places.discard(place)
                self._tally.skipped_files[kind] -= 1
        yield from self._take(place, path, is_link=os.path.realpath(path) != place)

    def _folder(self, top: bytes, relative: bytes = b"") -> Iterator[bytes]:
        """Take the photos of a folder and of all below it: those of a folder, then those of its folders."""
        real = os.path.realpath(top)
        if self._left_out.holds(real):
            return
        if (why := self._skipped_folders.pop(real, None)) is not None:
            self._tally.skipped_folders[why] -= 1
        waiting = [(top, real, relative)]
        while waiting:
            folder, real, relative = waiting.pop()
            identity = identity_of(folder)
            if identity is not None and (self._left_out.is_it(identity) or identity in self._searched):
                continue
            if identity is not None:
                self._searched.add(identity)
            below = []
            for entry in self._entries(folder):
                if is_folder(entry):
                    if self._enters(entry, real, relative):
                        below.append((entry.path, os.path.join(real, entry.name), relative + entry.name + b"/"))
                else:
                    yield from self._found(entry, real, relative)
            waiting += reversed(below)

    def _enters(self, entry: os.DirEntry[bytes], real: bytes, relative: bytes) -> bool:
        """Return whether a folder that was found is searched; one that is not is counted."""
        why = _LINK_TO_FOLDER if entry.is_symlink() else self._rules.why_skip_folder(relative + entry.name)
        if why is None:
            return True
        identity = identity_of(entry.path)
        if identity in self._searched and not entry.is_symlink():
            return True  # it was named itself, and what is in it is known
        place = os.path.join(real, entry.name)
        if not self._left_out.is_it(identity) and place not in self._skipped_folders:
            self._skipped_folders[place] = why
            self._tally.skipped_folders[why] += 1
        return False

    def _found(
        self, entry: os.DirEntry[bytes], real: bytes, relative: bytes, *, asked_for: bool = False
    ) -> Iterator[bytes]:
        """Take or skip a file that was found in a folder."""
        place = os.path.join(real, entry.name)
        if self._taken is not None and place in self._taken:
            return
        why = self._rules.why_skip_file(
            relative + entry.name, entry.path, regular=is_regular(entry), asked_for=asked_for
        )
        if why is None:
            yield from self._take(place, entry.path, is_link=entry.is_symlink())
        else:
            self._skip(place, why)

    def _take(self, place: bytes, path: bytes, *, is_link: bool) -> Iterator[bytes]:
        if self._taken is not None and not self._taken.add(place):
            return
        if is_link:
            record = place + b"\0" + path
            self._links.write(len(record).to_bytes(4, "little") + record)
            self._num_links += 1
        else:
            yield path

    def _skip(self, place: bytes, why: str) -> None:
        """Count a file that is left out, once, however often it is met."""
        if self._taken is None:
            self._tally.skipped_files[why] += 1
            return
        if not any(place in places for places in self._skipped.values()):
            self._skipped.setdefault(why, SeenTexts()).add(place)
            self._tally.skipped_files[why] += 1

    def _pattern(self, pattern: bytes) -> Iterator[bytes]:
        """Take the photos that a pattern matches, and those of the folders that it matches.

        Python's `glob` leaves out silently what it cannot list.
        """
        parts = pattern.split(b"/")
        num_literal = next(number for number, part in enumerate(parts) if WILDCARDS & set(part))
        base = os.path.abspath(b"/".join(parts[:num_literal]) or (b"/" if pattern.startswith(b"/") else b"."))
        parts = [part for part in parts[num_literal:] if part not in (b"", b".")]
        only_folders = pattern.endswith(b"/")
        matched = False
        num_unreadable = self._tally.num_unreadable
        waiting = [(base, b"", 0)]
        seen: set[tuple[bytes, int]] = set()
        while waiting:
            folder, relative, at = waiting.pop()
            if (folder, at) in seen or self._left_out.holds(os.path.realpath(folder)):
                continue
            seen.add((folder, at))
            part, is_last = parts[at], at == len(parts) - 1
            if part == b"**" and is_last:
                matched = True
                yield from self._folder(folder, relative)
                continue
            real = os.path.realpath(folder)
            below = []
            if part == b"**":
                below.append((folder, relative, at + 1))
            for entry in self._entries(folder):
                if part == b"**":
                    if is_folder(entry) and self._enters(entry, real, relative):
                        below.append((entry.path, relative + entry.name + b"/", at))
                elif not matches_part(entry.name, part):
                    continue
                elif not is_last:
                    if is_folder(entry) and (part == entry.name or self._enters(entry, real, relative)):
                        below.append((entry.path, relative + entry.name + b"/", at + 1))
                elif is_folder(entry):
                    matched = True
                    # `**` lists what lies below a folder itself.
                    if b"**" not in parts and (part == entry.name or self._enters(entry, real, relative)):
                        yield from self._folder(entry.path, relative + entry.name + b"/")
                elif not only_folders:
                    matched = True
                    yield from self._found(entry, real, relative, asked_for=self._rules.holds_photos(part))
            waiting += reversed(below)
        if not matched and self._tally.num_unreadable == num_unreadable:
            raise InvalidInputError(
                f"no file matches {os.fsdecode(pattern)!r}; check the pattern{look_alike_hint(base)}"
            )

    def _entries(self, folder: bytes) -> Iterator[os.DirEntry[bytes]]:
        """Yield what lies in a folder, by name; what cannot be listed is noted."""
        try:
            with os.scandir(folder) as entries:
                while run := sorted(islice(entries, _SORTED_AT_A_TIME), key=lambda entry: entry.name):
                    yield from run
        except (FileNotFoundError, NotADirectoryError):
            return  # removed since it was found, or a pattern's folder that is not there
        except OSError as exc:
            self._note_unreadable(folder, f"the folder cannot be read: {exc.strerror}")

    def _note_unreadable(self, path: bytes, reason: str) -> None:
        if path not in self._unreadable:
            if self._tally.num_unreadable < 1000:
                self._unreadable.add(path)
            self._tally.note_unreadable(source_text(path), reason)


def _records(file: IO[bytes]) -> Iterator[bytes]:
    while length := file.read(4):
        yield file.read(int.from_bytes(length, "little"))
