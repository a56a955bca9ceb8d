"""Lines for people, and what a line is shown on."""

from __future__ import annotations

import os
import sys
from typing import IO, Any


def say(line: str) -> None:
    """Write a line for people, to stderr: stdout holds results alone."""
    # click.echo would write to the terminal past a progress bar, and into its line.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 photo` or `1,200 photos`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def printable(text: str) -> str:
    """Return a text, such as the name of a file, with signs that a terminal would obey written as escapes."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def on_terminal(stream: IO[Any]) -> bool:
    """Return whether a stream is a terminal that can move its cursor, as bars need."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
