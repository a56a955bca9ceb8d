"""What a search left out, counted as it goes on."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field

from fsengine.terminal.messages import counted

MOST_NAMED = 100
"""Places that are named because they could not be searched; all are counted."""


@dataclass(slots=True)
class Tally:
    """What a search gave and left out so far.

    Attributes:
        num_found: Photos that it gave.
        skipped_files: Files that are left out, by kind, such as `video` or `hidden`.
        skipped_folders: Folders that are left out with all in them, by name, `hidden`, `excluded` or
            `link to a folder`.
        unreadable: Source and reason of the first places that could not be searched.
        num_unreadable: How many there are.
        is_complete: Whether the search came to its end.
    """

    num_found: int = 0
    skipped_files: collections.Counter[str] = field(default_factory=collections.Counter)
    skipped_folders: collections.Counter[str] = field(default_factory=collections.Counter)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    num_unreadable: int = 0
    is_complete: bool = False

    def note_unreadable(self, source: str, reason: str) -> None:
        """Count a place that cannot be searched."""
        self.num_unreadable += 1
        if len(self.unreadable) < MOST_NAMED:
            self.unreadable.append((source, reason))

    @property
    def skipped_text(self) -> str:
        """Return in words what was skipped, by kind; empty where nothing was."""
        said = []
        for noun, kinds in (("file", self.skipped_files), ("folder", self.skipped_folders)):
            if kinds.total():
                listed = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common() if number)
                said.append(f"{counted(kinds.total(), noun)} ({listed})")
        return " and ".join(said)
