"""Photos in object stores: objects, prefixes and patterns of keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from fsclient.photos.entry import ObjectEntry
from fsclient.photos.finding.tally import Tally
from fsclient.photos.source_rules import EXCLUDED, SourceRules
from fsengine.errors import InvalidInputError, StoreError, StoreUnavailableError
from fsengine.files.stores.objects import state_if_there
from fsengine.files.stores.store_listing import Listed, list_objects
from fsengine.files.stores.store_urls import bucket_and_key

_WILDCARD = re.compile(r"[*?\[]")
_MARKER = "folder marker"


def objects_of(url: str, rules: SourceRules, tally: Tally, skip: str | None) -> Iterator[ObjectEntry]:
    """Yield the objects that a URL of a store names: one, those below a prefix, or those that match a pattern.

    Of what is found, names alone tell what is a photo: reading the beginning of every other object would take a
    request for each.

    Args:
        url: `s3://bucket/key`, `s3://bucket/prefix/` or a pattern such as `s3://bucket/2024/**/*.jpg`.
        rules: Which objects are taken.
        tally: Counts the others.
        skip: A prefix that is left out, that of the results; None for none.

    Raises:
        InvalidInputError: It names nothing.
        StoreUnavailableError: The store cannot be had.
    """
    try:
        yield from _objects_of(url, rules, tally, skip)
    except StoreUnavailableError:
        raise
    except StoreError as exc:
        raise InvalidInputError(str(exc)) from exc


def _objects_of(url: str, rules: SourceRules, tally: Tally, skip: str | None) -> Iterator[ObjectEntry]:
    root, key = bucket_and_key(url)
    pattern, prefix, asks_for_containers = None, key, False
    if wildcard := _WILDCARD.search(key):
        pattern = _pattern_parts(key)
        prefix = key[: wildcard.start()].rpartition("/")[0]
        asks_for_containers = rules.holds_photos(key.encode())
    elif key and not key.endswith("/") and (state := state_if_there(url)) is not None:
        if rules.excludes(key.rpartition("/")[2].encode()):
            tally.skipped_files[EXCLUDED] += 1
        else:
            yield ObjectEntry(url, state)
        return
    num_seen = 0
    below = len(prefix.rstrip("/")) + 1 if prefix else 0
    for batch in list_objects(f"{root}/{prefix}"):
        for found in batch:
            num_seen += 1
            if isinstance(found, StoreError):
                tally.note_unreadable(url, str(found))
                continue
            found_key = found.url[len(root) + 1 :]
            if skip is not None and found.url.startswith(skip):
                continue
            if pattern is not None and not _matches(found_key.split("/"), pattern):
                continue
            relative = found_key[below:] or found_key
            why = _why_skip(found, relative, rules, asked_for=asks_for_containers)
            if why is None:
                yield ObjectEntry(found.url, found.state)
            else:
                tally.skipped_files[why] += 1
    if not num_seen:
        raise InvalidInputError(f"{url} names no object, and none lies below it; check the bucket and the key")


def _why_skip(found: Listed, relative: str, rules: SourceRules, *, asked_for: bool) -> str | None:
    """Return why an object is left out, in a word; None where it is taken."""
    if found.state.num_bytes == 0 and "." not in relative.rpartition("/")[2] and not rules.strict:
        return _MARKER
    return rules.why_skip_by_name(relative.encode(), asked_for=asked_for)


def _pattern_parts(pattern: str) -> list[str]:
    """Return the parts of a pattern, one `**` for several in a row."""
    parts = pattern.split("/")
    return [part for part, before in zip(parts, [None, *parts], strict=False) if part != "**" or before != "**"]


def _matches(key: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a key match those of a pattern: `*` stays within a folder, `**` goes down folders."""
    for at, part in enumerate(pattern):
        if part == "**":
            rest = pattern[at + 1 :]
            return not rest or any(_matches(key[start:], rest) for start in range(at, len(key)))
        if at >= len(key) or not fnmatchcase(key[at], part):
            return False
    return len(key) == len(pattern)
