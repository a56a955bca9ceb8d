"""Names that look like one that is not there: spelled in another Unicode form, or a URL with one slash."""

from __future__ import annotations

import os
import unicodedata

from fsengine.files.stores.store_urls import mistyped


def url_hint(argument: bytes) -> str:
    """Return, for a path that does not exist, a hint at the URL that it was probably meant to be."""
    meant = mistyped(os.fsdecode(argument))
    return "" if meant is None else f". Did you mean {meant}?"


def look_alike_hint(path: bytes) -> str:
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
