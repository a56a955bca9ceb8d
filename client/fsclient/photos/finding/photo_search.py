"""The search for photos: arguments and lists of every kind, one photo after the other, as they are found."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from braceexpand import braceexpand

from fsclient.photos.entry import FileEntry, InsideEntry, ObjectEntry, PhotoEntry
from fsclient.photos.finding.folder_search import FolderSearch
from fsclient.photos.finding.seen import SeenTexts
from fsclient.photos.finding.store_search import objects_of
from fsclient.photos.finding.tally import Tally
from fsclient.photos.finding.tar_shards import photos_of_shard
from fsclient.photos.source_rules import SourceRules, is_table
from fsdata.results.source import source_text
from fsengine.errors import InvalidInputError, StoreUnavailableError
from fsengine.files.stores.store_path import AnyPath, StorePath
from fsengine.files.stores.store_urls import checked_url, is_store_url, is_url, local_path, public_url

_MOST_EXPANDED = 1_000_000
"""Sources that the braces of one argument may stand for."""

_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)")


class PhotoSearch:
    """The photos that arguments and a list name.

    Folders, and prefixes of stores, are searched with everything below them; links to folders are not followed, unless
    they are named. What is named itself is taken whatever it is; of what is found, `rules` tells what is. A file that
    is reached in several ways counts once. What cannot be listed is left out and noted. Tar shards that are named, or
    that a pattern ending in `.tar` finds, are opened, and so are Parquet files where a column is named.

    Iterating, once, searches as it goes; memory does not follow the number of photos, but for 16 bytes for each where
    there are several sources.

    Attributes:
        tally: What was found and left out so far.
    """

    def __init__(
        self,
        arguments: Iterable[str],
        *,
        skip: AnyPath | None = None,
        rules: SourceRules | None = None,
        listed: Iterable[bytes] | None = None,
    ) -> None:
        """Prepare; every argument is looked up, none searched yet.

        Args:
            arguments: Files, folders and glob patterns (`**` goes down folders), URLs, and braces such as
                `{000..099}` in any of them.
            skip: A folder whose content is left out, however it is reached: where results are written to.
            rules: Which files are taken; None for those that are photos by their names or first bytes.
            listed: Paths and URLs of a list, in which nothing is a pattern, and what is missing is left out and named;
                None for no list.

        Raises:
            InvalidInputError: An argument names nothing, or a table without its column.
        """
        self.tally = Tally()
        self._rules = rules or SourceRules()
        self._is_whole = True
        self._arguments = [one for argument in arguments for one in _expanded(argument)]
        self._listed = listed
        self._skip_url = f"{skip}/" if isinstance(skip, StorePath) else None
        once = len(self._arguments) <= 1 and listed is None
        self._seen = None if once else SeenTexts()
        folder = skip if isinstance(skip, Path) else None
        self._folders = FolderSearch(folder, self._rules, self.tally, once=once)
        for argument in self._arguments:
            if is_table(argument if isinstance(argument, bytes) else argument.encode()) and self._rules.column is None:
                text = source_text(argument) if isinstance(argument, bytes) else public_url(argument)
                raise InvalidInputError(f"{text} is a Parquet file; expected --column NAME, the column of its photos")
            if isinstance(argument, bytes):
                self._folders.check(argument)

    def __iter__(self) -> Iterator[PhotoEntry]:
        """Yield the photos.

        Raises:
            InvalidInputError: A URL names nothing, a table has no such column, or the list is none; once a photo was
                found, the former are noted.
            StoreUnavailableError: A store cannot be had.
        """
        found: Iterator[PhotoEntry] = self._counted()
        if self._rules.sample is not None:
            found = map(_without_data, found)
        yield from self._rules.chosen(found)

    def _counted(self) -> Iterator[PhotoEntry]:
        for entry in self._found():
            if isinstance(entry, InsideEntry) or self._rules.is_in_share(entry.source):
                self.tally.num_found += 1
                yield entry
        self.tally.is_complete = self._is_whole

    def _found(self) -> Iterator[PhotoEntry]:
        for argument in self._arguments:
            try:
                if isinstance(argument, str):
                    yield from self._of_url(argument)
                else:
                    yield from self._of_paths(self._folders.argument(argument))
            except InvalidInputError as exc:
                self._note_or_raise(public_url(argument) if isinstance(argument, str) else source_text(argument), exc)
        for line in self._listed or ():
            text = os.fsdecode(line)
            if not is_url(text):
                yield from self._of_paths(self._folders.listed(line))
                continue
            try:
                path = local_path(text)
                url = None if path is not None else _checked(text)
            except InvalidInputError as exc:
                self.tally.note_unreadable("a URL of the list", str(exc))
                continue
            if url is None:
                assert path is not None
                yield from self._of_paths(self._folders.listed(path))
            elif self._is_new(entry := ObjectEntry(url)):
                yield from self._opened(entry)
        yield from self._of_paths(self._folders.links())

    def _of_paths(self, paths: Iterator[bytes]) -> Iterator[PhotoEntry]:
        for path in paths:
            if self._rules.holds_photos(path):
                yield from self._opened(FileEntry(path))
            else:
                yield FileEntry(path)

    def _of_url(self, url: str) -> Iterator[PhotoEntry]:
        if not is_store_url(url):
            if self._is_new(entry := ObjectEntry(url)):
                yield from self._opened(entry)
            return
        for entry in objects_of(url, self._rules, self.tally, self._skip_url):
            if self._is_new(entry):
                yield from self._opened(entry)

    def _opened(self, entry: FileEntry | ObjectEntry) -> Iterator[PhotoEntry]:
        """Yield a photo, or the photos that a shard or a table holds."""
        place = entry.path if isinstance(entry, FileEntry) else entry.url
        name = place if isinstance(place, bytes) else place.split("?")[0].encode()
        if not self._rules.holds_photos(name):
            yield entry
        elif self._rules.is_in_share(entry.source):
            try:
                yield from self._inside(place, name)
            except InvalidInputError as exc:
                self._note_or_raise(entry.source, exc)
            except StoreUnavailableError as exc:  # other shards may lie elsewhere
                self._is_whole = False
                self.tally.note_unreadable(entry.source, str(exc))

    def _inside(self, place: bytes | str, name: bytes) -> Iterator[PhotoEntry]:
        if is_table(name):
            from fsclient.photos.finding.photo_tables import photos_of_table  # Parquet, which few wait for

            return photos_of_table(place, self._rules, self.tally)
        return photos_of_shard(place, self._rules, self.tally)

    def _note_or_raise(self, source: str, exc: InvalidInputError) -> None:
        """Refuse a source that cannot be used, or note it: what was found before may have been scored for hours."""
        if not self.tally.num_found:
            raise exc
        self.tally.note_unreadable(source, str(exc).removeprefix(f"{source} "))

    def _is_new(self, entry: ObjectEntry) -> bool:
        """Return whether an object is none that was found; the same one may be presigned anew."""
        return self._seen is None or self._seen.add(entry.source.encode())


def _without_data(entry: PhotoEntry) -> PhotoEntry:
    """Return an entry that is held for long."""
    if isinstance(entry, InsideEntry) and entry.data is not None and entry.place is not None:
        return replace(entry, data=None)
    return entry


def _expanded(argument: str) -> Iterator[bytes | str]:
    """Yield what an argument stands for: a path as bytes, or a URL that can be read.

    Raises:
        InvalidInputError: It is a URL that cannot be read.
    """
    for text in _without_braces(argument):
        if not is_url(text):
            yield os.fsencode(text)
        elif (path := local_path(text)) is not None:
            yield path
        else:
            yield _checked(text)


def _without_braces(argument: str) -> Iterable[str]:
    """Return what braces stand for; those of folders and files that are there are names.

    Raises:
        InvalidInputError: They stand for too many.
    """
    if "{" not in argument:
        return [argument]
    there = argument
    while there and not os.path.lexists(there):
        there = there.rpartition("/")[0]
    there, braced = argument[: len(there)], argument[len(there) :]
    try:
        longest = max((abs(int(last) - int(first)) for first, last in _RANGE.findall(braced)), default=0)
        expanded = iter(()) if longest > _MOST_EXPANDED else braceexpand(braced, escape=False)
        found = [there + text for text in islice(expanded, _MOST_EXPANDED + 1)]
    except (ValueError, RecursionError):  # braces that do not close: a name may have such
        return [argument]
    if longest > _MOST_EXPANDED or len(found) > _MOST_EXPANDED:
        raise InvalidInputError(f"{argument} stands for more than {_MOST_EXPANDED:,} sources")
    return found


def _checked(url: str) -> str:
    """Return a URL that can be read, and stored.

    Raises:
        InvalidInputError: It is none.
    """
    try:
        url.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInputError(f"{url!a} is not written in UTF-8; expected such bytes quoted, as %FF is") from exc
    return checked_url(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPhotos:
    """What a search to its end gave.

    Attributes:
        entries: The photos.
        tally: What was left out.
    """

    entries: list[PhotoEntry]
    tally: Tally

    @property
    def paths(self) -> list[bytes]:
        """Return the paths of the photos.

        Raises:
            InvalidInputError: One of them is no file of this machine.
        """
        paths = []
        for entry in self.entries:
            if not isinstance(entry, FileEntry):
                raise InvalidInputError(f"{entry.source} is no file of this machine; expected files and folders here")
            paths.append(entry.path)
        return paths


def find_photos(
    arguments: Iterable[str],
    *,
    rules: SourceRules | None = None,
    skip: Path | None = None,
    listed: Iterable[bytes] | None = None,
) -> FoundPhotos:
    """Search to the end, for photos that are few; see `PhotoSearch`."""
    search = PhotoSearch(arguments, skip=skip, rules=rules, listed=listed)
    return FoundPhotos(entries=list(search), tally=search.tally)
