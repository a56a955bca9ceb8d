"""What lies below a prefix of an object store, page by page, whatever its keys hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsengine.errors import StoreError
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.objects import explained, opened, state_of
from fsengine.files.stores.store_urls import bucket_and_key

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_MOST_BROKEN_PAGES = 3
_LISTED_AT_A_TIME = 1000
_LISTS_IN_NO_ORDER = "--x-s3"
"""The end of the name of an S3 directory bucket."""

_MOST_EARLY = 100_000
"""Keys of a bucket that are remembered, to tell those that begin with a slash from those without it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that a listing gave.

    Attributes:
        url: Where it is.
        state: Its state then.
    """

    url: str
    state: ObjectState


def list_objects(url: str) -> Iterator[list[Listed | StoreError]]:
    """List the objects below a prefix, some at a time.

    Args:
        url: Of a bucket or a prefix; `s3://photos/2024` lists `s3://photos/2024/...` and not `s3://photos/2024b`.

    Yields:
        Objects; for folders whose keys cannot be asked for, an error that names them.

    Raises:
        StoreError: There is no such bucket, or the store refuses to list it.
        StoreUnavailableError: The store cannot be had.
    """
    root, _ = bucket_and_key(url)
    store, key = opened(url)
    from obstore.exceptions import GenericError, InvalidPathError

    prefix, last = key.rstrip("/"), ""
    failures = 0
    slashes = _LeadingSlashes(is_watching=not prefix and not root.endswith(_LISTS_IN_NO_ORDER))
    with explained(url):
        while True:
            try:
                for chunk in store.list(prefix or None, offset=last or None, chunk_size=_LISTED_AT_A_TIME):
                    yield [
                        told
                        for meta in chunk
                        for told in slashes.told(Listed(f"{root}/{meta['path']}", state_of(meta)))
                    ]
                    last, failures = (chunk[-1]["path"] if chunk else last), 0
                return
            except InvalidPathError:
                yield from _by_folders(store, root, prefix, last.encode())
                return
            except GenericError:
                # A page whose body breaks off is not asked for again by obstore.
                failures += 1
                if failures > _MOST_BROKEN_PAGES:
                    raise


class _LeadingSlashes:
    """Tells keys that begin with a slash, which obstore cuts off, by the order of a listing: they come early."""

    def __init__(self, *, is_watching: bool) -> None:
        self._early: set[str] | None = set() if is_watching else None
        self._before = ""
        self._is_told = False

    def told(self, listed: Listed) -> Iterator[Listed | StoreError]:
        """Yield an object, and an error where what was listed before it, or the object itself, is another one."""
        early = self._early
        if early is None:
            yield listed
            return
        if not self._is_told and listed.url.encode() < self._before.encode():
            self._is_told = True
            yield StoreError(f"{self._before}: {_BEGINS_WITH_A_SLASH}")
        if not self._is_told:
            early.add(listed.url)
            self._before = listed.url
            if len(early) > _MOST_EARLY:
                self._early = None
        if not self._is_told or listed.url not in early:
            yield listed
        else:
            yield StoreError(f"{listed.url}: {_BEGINS_WITH_A_SLASH}")


def _by_folders(store: ObjectStore, root: str, prefix: str, after: bytes) -> Iterator[list[Listed | StoreError]]:
    """List the objects after a key folder by folder, so that a key that cannot be asked for costs its folder alone.

    A listing without folders loses the whole page of 1000 keys that such a key lies in.
    """
    from obstore.exceptions import InvalidPathError

    waiting, seen = [prefix], {prefix}
    while waiting:
        folder = waiting.pop()
        try:
            found = store.list_with_delimiter(folder or None)
        except InvalidPathError:
            yield [StoreError(f"{root}/{folder}: {_CANNOT_BE_LISTED}")]
            continue
        objects: list[Listed | StoreError] = [
            Listed(f"{root}/{meta['path']}", state_of(meta))
            for meta in found["objects"]
            if meta["path"].encode() > after
        ]
        if objects:
            yield objects
        below = sorted(set(found["common_prefixes"]) - seen, reverse=True)
        if len(below) < len(found["common_prefixes"]):  # the folder of a key that begins with a slash is its own
            yield [StoreError(f"{root}/{folder}: {_CANNOT_BE_LISTED}")]
        seen.update(below)
        waiting += below


_BEGINS_WITH_A_SLASH = (
    "there is a key that begins with a slash, which cannot be asked for and is taken for the one without it; copy such "
    "objects to other keys"
)
_CANNOT_BE_LISTED = (
    "a key here has a part that is empty ('a//b'), '.' or '..', or a control character, so that the objects of this "
    "folder cannot be listed; copy that object to another key, or name the others by --from-file"
)
