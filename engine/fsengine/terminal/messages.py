"""Lines for people, and what a line is shown on."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable
from typing import IO, Any

Say = Callable[[str], None]
"""Shows people a line."""

_SHOWN = "\u200c\u200d"
"""The joiners of Indic and Persian writing and of emoji: Python calls them not printable, and they are harmless."""


def say(line: str) -> None:
    """Write a line for people, or several, to stderr: stdout holds results alone."""
    # click.echo would write to the terminal past a progress bar, and into its line.
    sys.stderr.write(f"{printable(line, lines=True)}\n")
    sys.stderr.flush()


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text as it may be shown: what a terminal would obey in place of showing it is escaped.

    That is control characters, marks that turn the direction of text, and what is no character; a file's name or a
    server's message may hold any of them.

    Args:
        text: The text.
        lines: Whether ends of lines are kept: those of our own texts, never those of a name.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _SHOWN or (lines and char in "\n\t") else _escaped(char) for char in text
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 photo` or `1,200 photos`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _escaped(char: str) -> str:
    # Blanks of other writing, such as the ideographic space, are no danger.
    return char if unicodedata.category(char) == "Zs" else char.encode("unicode_escape").decode()


def on_terminal(stream: IO[Any]) -> bool:
    """Return whether a stream is a terminal that can move its cursor, as bars need."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
