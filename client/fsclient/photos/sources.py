"""Which photos a command was given: files, folders and patterns searched, each file once, in a stable order."""

from __future__ import annotations

import collections
import fnmatch
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fsclient.photos.source_rules import EXCLUDED, SourceRules
from fsdata.results.source import source_text
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import counted

_WILDCARDS = frozenset(b"*?[")
_LINK_TO_FOLDER = "link to a folder"
_SECOND_NAME = "link to a photo that is taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPhotos:
    """What the search of sources gave.

    Attributes:
        paths: Absolute paths of the files to score, each file once, in a stable order.
        skipped_files: Files that are left out, by kind, such as `video` or `hidden`.
        skipped_folders: Folders that are left out with all in them, by name, `hidden`, `excluded` or
            `link to a folder`.
        unreadable: Source and reason of what could not be searched.
        num_found: Files that a sample or a limit was taken from; as many as there are paths where there is none.
    """

    paths: list[bytes]
    skipped_files: collections.Counter[str] = field(default_factory=collections.Counter)
    skipped_folders: collections.Counter[str] = field(default_factory=collections.Counter)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    num_found: int = 0


def find_photos(
    arguments: Iterable[str],
    *,
    skip: Path | None = None,
    rules: SourceRules | None = None,
    listed: Iterable[bytes] = (),
) -> FoundPhotos:
    """Search for the photos that the arguments name.

    Folders are searched with everything below them; links to folders are not followed, unless they are named. What
    is named itself is taken whatever it is; of what is found, `rules` tells what is. A file that is reached in
    several ways counts once. What cannot be listed is left out and named.

    Args:
        arguments: Files, folders and glob patterns (`**` goes down folders).
        skip: A folder whose content is left out, however it is reached: the one that results are written to.
        rules: Which files are taken; None for those that are photos by their names or first bytes.

        listed: Paths of a list: files and folders, in which nothing is a pattern, and what is missing is left out and
            named.

    Raises:
        InvalidInputError: An argument names nothing.
    """
    rules = rules or SourceRules()
    search = _Search(skip, rules)
    for argument in arguments:
        search.add(os.fsencode(argument))
    for path in listed:
        search.add_listed(path)
    found = search.found()
    return replace(found, paths=rules.chosen(found.paths), num_found=len(found.paths))


def skipped_text(files: collections.Counter[str], folders: collections.Counter[str]) -> str:
    """Return in words what was skipped, by kind; empty where nothing was.

    Args:
        files: Of `FoundPhotos.skipped_files`.
        folders: Of `FoundPhotos.skipped_folders`.
    """
    said = []
    for noun, kinds in (("file", files), ("folder", folders)):
        if kinds:
            listed = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
            said.append(f"{counted(kinds.total(), noun)} ({listed})")
    return " and ".join(said)


class _Search:
    """The state of one search.

    A file is known by its place: the real path of its folder, and its name. Paths are kept as they were given, since
    results and labels are looked up by them.
    """

    def __init__(self, skip: Path | None, rules: SourceRules) -> None:
        self._rules = rules
        self._out = None if skip is None else _identity(os.fsencode(skip))
        self._in_out: dict[bytes, bool] = {}
        self._photos: dict[bytes, bytes] = {}
        self._links: dict[bytes, None] = {}
        self._skipped: dict[bytes, str] = {}
        self._skipped_folders: dict[bytes, str] = {}
        self._searched: set[tuple[int, int]] = set()
        self._unreadable: dict[bytes, str] = {}

    def found(self) -> FoundPhotos:
        """Return what was found so far."""
        self._drop_second_names()
        return FoundPhotos(
            paths=list(self._photos.values()),
            skipped_files=collections.Counter(self._skipped.values()),
            skipped_folders=collections.Counter(self._skipped_folders.values()),
            unreadable=[(source_text(path), reason) for path, reason in self._unreadable.items()],
        )

    def add(self, argument: bytes) -> None:
        """Search one argument."""
        path = os.path.abspath(argument)
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            if _WILDCARDS & set(argument):
                self._add_pattern(argument)
                return
            raise InvalidInputError(
                f"{os.fsdecode(argument)!r} does not exist; expected a photo, a folder of photos or a pattern"
                f"{_look_alike_hint(path)}"
            ) from None
        except OSError as exc:
            self._unreadable[path] = f"cannot be read: {exc.strerror}"
            return
        self._add_there(path)

    def add_listed(self, listed: bytes) -> None:
        """Take or search one path of a list."""
        path = os.path.abspath(listed)
        try:
            os.lstat(path)
        except (OSError, ValueError) as exc:
            self._unreadable[path] = f"cannot be read: {getattr(exc, 'strerror', None) or exc}"
            return
        self._add_there(path)

    def _add_there(self, path: bytes) -> None:
        """Take a file, or search a folder, that was named itself."""
        if os.path.isdir(path):
            self._search_folder(path)
        else:
            self._add_named(path)

    def _add_named(self, path: bytes) -> None:
        """Take a file that is named itself."""
        folder, name = os.path.split(path)
        real = os.path.realpath(folder)
        if self._is_in_out(real):
            return
        place = os.path.join(real, name)
        if self._rules.excludes(name):
            self._skipped.setdefault(place, EXCLUDED)
            return
        self._skipped.pop(place, None)
        self._take(place, path, is_link=os.path.realpath(path) != place)

    def _search_folder(self, top: bytes, relative: bytes = b"") -> None:
        """Take the photos of a folder and of all below it: those of a folder, then those of its folders."""
        real = os.path.realpath(top)
        if self._is_in_out(real):
            return
        self._skipped_folders.pop(real, None)
        waiting = [(top, real, relative)]
        while waiting:
            folder, real, relative = waiting.pop()
            identity = _identity(folder)
            if identity is not None and (identity == self._out or identity in self._searched):
                continue
            if identity is not None:
                self._searched.add(identity)
            below = []
            for entry in self._listed(folder):
                if _is_folder(entry):
                    if self._enters(entry, real, relative):
                        below.append((entry.path, os.path.join(real, entry.name), relative + entry.name + b"/"))
                else:
                    self._add_found(entry, real, relative)
            waiting += reversed(below)

    def _enters(self, entry: os.DirEntry[bytes], real: bytes, relative: bytes) -> bool:
        """Return whether a folder that was found is searched; one that is not is counted."""
        why = _LINK_TO_FOLDER if entry.is_symlink() else self._rules.why_skip_folder(relative + entry.name)
        if why is None:
            return True
        identity = _identity(entry.path)
        if identity in self._searched and not entry.is_symlink():
            return True  # it was named itself, and what is in it is known
        if self._out is None or identity != self._out:
            self._skipped_folders.setdefault(os.path.join(real, entry.name), why)
        return False

    def _add_found(self, entry: os.DirEntry[bytes], real: bytes, relative: bytes) -> None:
        """Take or skip a file that was found in a folder."""
        place = os.path.join(real, entry.name)
        if place in self._photos or place in self._skipped:
            return
        why = self._rules.why_skip_file(relative + entry.name, entry.path, regular=_is_regular(entry))
        if why is None:
            self._take(place, entry.path, is_link=entry.is_symlink())
        else:
            self._skipped[place] = why

    def _take(self, place: bytes, path: bytes, *, is_link: bool) -> None:
        if is_link:
            self._links.setdefault(place)
        # The two are mostly alike, and then one object: millions of paths fill the memory.
        self._photos.setdefault(place, place if place == path else path)

    def _drop_second_names(self) -> None:
        """Leave out links to files that are there too, second links to one file, and links into the results."""
        targets: set[bytes] = set()
        for place in self._links:
            target = os.path.realpath(place)
            if not os.path.exists(target):
                continue
            if self._is_in_out(os.path.split(target)[0]):
                del self._photos[place]
            elif target in self._photos or target in targets:
                del self._photos[place]
                self._skipped[place] = _SECOND_NAME
            targets.add(target)
        self._links.clear()

    def _add_pattern(self, pattern: bytes) -> None:
        """Take the photos that a pattern matches, and those of the folders that it matches.

        Python's `glob` leaves out silently what it cannot list.
        """
        parts = pattern.split(b"/")
        num_literal = next(number for number, part in enumerate(parts) if _WILDCARDS & set(part))
        base = os.path.abspath(b"/".join(parts[:num_literal]) or (b"/" if pattern.startswith(b"/") else b"."))
        parts = [part for part in parts[num_literal:] if part not in (b"", b".")]
        only_folders = pattern.endswith(b"/")
        matched = False
        num_unreadable = len(self._unreadable)
        waiting = [(base, b"", 0)]
        seen: set[tuple[bytes, int]] = set()
        while waiting:
            folder, relative, at = waiting.pop()
            if (folder, at) in seen or self._is_in_out(os.path.realpath(folder)):
                continue
            seen.add((folder, at))
            part, is_last = parts[at], at == len(parts) - 1
            if part == b"**" and is_last:
                self._search_folder(folder, relative)
                matched = True
                continue
            real = os.path.realpath(folder)
            below = []
            if part == b"**":
                below.append((folder, relative, at + 1))
            for entry in self._listed(folder):
                if part == b"**":
                    if _is_folder(entry) and self._enters(entry, real, relative):
                        below.append((entry.path, relative + entry.name + b"/", at))
                elif not _matches_part(entry.name, part):
                    continue
                elif not is_last:
                    if _is_folder(entry) and (part == entry.name or self._enters(entry, real, relative)):
                        below.append((entry.path, relative + entry.name + b"/", at + 1))
                elif _is_folder(entry):
                    matched = True
                    # `**` lists what lies below a folder itself.
                    if b"**" not in parts and (part == entry.name or self._enters(entry, real, relative)):
                        self._search_folder(entry.path, relative + entry.name + b"/")
                elif not only_folders:
                    matched = True
                    self._add_found(entry, real, relative)
            waiting += reversed(below)
        if not matched and len(self._unreadable) == num_unreadable:
            raise InvalidInputError(
                f"no file matches {os.fsdecode(pattern)!r}; check the pattern{_look_alike_hint(base)}"
            )

    def _listed(self, folder: bytes) -> list[os.DirEntry[bytes]]:
        """Return what lies in a folder, by name; what cannot be listed is noted."""
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []  # removed since it was found, or a pattern's folder that is not there
        except OSError as exc:
            self._unreadable.setdefault(folder, f"the folder cannot be read: {exc.strerror}")
            return []

    def _is_in_out(self, real: bytes) -> bool:
        """Return whether a folder, given by its real path, is that of the results or lies in it, however spelled."""
        if self._out is None:
            return False
        unknown = []
        answer = False
        while real not in self._in_out:
            unknown.append(real)
            parent = os.path.split(real)[0]
            if (answer := _identity(real) == self._out) or parent == real:
                break
            real = parent
        else:
            answer = self._in_out[real]
        self._in_out.update(dict.fromkeys(unknown, answer))
        return answer


def _identity(path: bytes) -> tuple[int, int] | None:
    """Return what tells a folder from every other, whatever it is called; None where it is not there."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    """Return whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_regular(entry: os.DirEntry[bytes]) -> bool:
    """Return whether an entry is a regular file, or a link that leads to one or to nothing."""
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:  # a link that leads to itself
        return True


def _matches_part(name: bytes, part: bytes) -> bool:
    """Return whether a name matches one part of a pattern, which tells of hidden names only where it says so."""
    if name == part:
        return True
    return (part.startswith(b".") or not name.startswith(b".")) and fnmatch.fnmatchcase(
        os.fsdecode(name), os.fsdecode(part)
    )


def _look_alike_hint(path: bytes) -> str:
    """Return, for what does not exist, a hint at what looks the same and is spelled in another Unicode form."""
    missing = os.fsdecode(path)
    existing = missing
    spelled: list[str] = []
    while not os.path.lexists(existing):
        existing, name = os.path.split(existing)
        spelled.insert(0, name)
    for name in spelled:
        try:
            alike = [other for other in os.listdir(existing) if _composed(other) == _composed(name)]
        except OSError:
            return ""
        if not alike:
            return ""
        existing = os.path.join(existing, name if name in alike else alike[0])
    if existing == missing:
        return ""
    return (
        f". A name that looks the same but is spelled in another Unicode form is there: {existing!a}; "
        f"{missing!a} was asked for"
    )


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
