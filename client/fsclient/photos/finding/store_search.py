"""Photos in object stores: objects, prefixes and patterns of keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate

from fsclient.photos.entry import ObjectEntry
from fsclient.photos.finding.tally import Tally
from fsclient.photos.source_rules import EXCLUDED, SourceRules
from fsengine.errors import InvalidInputError, StoreError, StoreUnavailableError
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.objects import Listed, list_objects, object_state
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
    matches, prefix, asks_for_containers = None, key, False
    if wildcard := _WILDCARD.search(key):
        matches = re.compile(_key_pattern(key))
        prefix = key[: wildcard.start()].rpartition("/")[0]
        asks_for_containers = rules.names_container(key.encode())
    elif key and not key.endswith("/") and (state := _there(url)) is not None:
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
            if matches is not None and not matches.fullmatch(found_key):
                continue
            relative = found_key[below:] or found_key
            why = _why_skip(found, relative, rules, named=asks_for_containers)
            if why is None:
                yield ObjectEntry(found.url, found.state)
            else:
                tally.skipped_files[why] += 1
    if not num_seen:
        raise InvalidInputError(f"{url} names no object, and none lies below it; check the bucket and the key")


def _there(url: str) -> ObjectState | None:
    try:
        return object_state(url)
    except StoreUnavailableError:
        raise
    except StoreError:
        return None


def _why_skip(found: Listed, relative: str, rules: SourceRules, *, named: bool) -> str | None:
    """Return why an object is left out, in a word; None where it is taken."""
    if found.state.num_bytes == 0 and "." not in relative.rpartition("/")[2] and not rules.strict:
        return _MARKER
    return rules.why_skip_named(relative.encode(), named=named)


def _key_pattern(pattern: str) -> str:
    """Return a regular expression for whole keys: `*` stays within a folder, `**` goes down folders."""
    parts = pattern.split("/")
    expression = ""
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part == "**":
            expression += ".*" if is_last else "(?:.*/)?"
            continue
        # `translate` gives `(?s:...)\Z`, in which a star crosses slashes.
        inner = translate(part).removeprefix("(?s:").removesuffix(r")\Z").replace(".*", "[^/]*")
        expression += inner if is_last else f"{inner}/"
    return expression
