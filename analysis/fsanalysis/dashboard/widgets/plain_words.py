"""Names, queries and messages within the Markdown of a page, shown as they are."""

from __future__ import annotations

import re

from fsengine.terminal.messages import printable

_MARKS = re.compile(r"([!-/:-@\[-`{-~])")
_FOUND_IN_TEXT = re.compile(r"[:@](?=\S)|www(?=\.)|-(?=[->])|<(?=-)", re.IGNORECASE)
_UNSEEN = "\u2060"
"""Word joiner: without width, and no part of an address."""


def plain(text: object) -> str:
    """Return a text as Streamlit's Markdown shows it letter by letter: no link, picture, colour or formula is in it.

    Addresses, symbols and arrows are found once more in what was escaped, so they are parted by a character that is
    not seen.
    """
    parted = _FOUND_IN_TEXT.sub(lambda found: found[0] + _UNSEEN, printable(str(text)))
    return _MARKS.sub(r"\\\1", parted)
