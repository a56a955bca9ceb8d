"""Progress for people: one bar on stderr where that is a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fsengine.terminal.messages import on_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text

_DELAY_S = 0.2
"""What is done sooner shows no bar."""

BYTES = "B"
"""A unit that is shown as kB, MB and so on."""


class ProgressBar:
    """How far something is.

    Attributes:
        note: Text that is shown with it from the next step on, such as `29 faces`.
    """

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        """Prepare a bar; it appears once something was done and `_DELAY_S` have passed.

        Args:
            what: What is done, in a word or two.
            total: How much there is to do; None where that is not known.
            unit: What is counted, in the singular, or `BYTES`.
        """
        self.note = ""
        self._what = what
        self._total = total
        self._unit = unit
        self._done = 0
        self._wanted = on_terminal(sys.stderr)
        self._appears_at = time.monotonic() + _DELAY_S
        self._shown: Progress | None = None

    def advance(self, number: int = 1) -> None:
        """Count what was done since the last step."""
        self.reach(self._done + number, self._total)

    def reach(self, done: int, total: int | None) -> None:
        """Say how much was done in all, of how much."""
        self._done, self._total = done, total
        if self._shown is None:
            if not self._wanted or time.monotonic() < self._appears_at:
                return
            self._shown = _rich_progress(self._unit)
            self._shown.add_task(self._what, total=total, completed=done, note=self.note)
            self._shown.start()
        self._shown.update(self._shown.task_ids[0], total=total, completed=done, note=self.note)

    def close(self) -> None:
        """Remove the bar."""
        if self._shown is not None:
            self._shown.stop()
        self._wanted, self._shown = False, None


@contextmanager
def progress_bar(what: str, total: int | None, unit: str) -> Iterator[ProgressBar]:
    """Show how far something is, until the end of the block; see `ProgressBar`."""
    bar = ProgressBar(what, total, unit)
    try:
        yield bar
    finally:
        bar.close()


def _rich_progress(unit: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        _amount_column(unit),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True, highlight=False, markup=False, emoji=False),
        transient=True,
        expand=True,
        redirect_stdout=False,  # stdout may be a file, and what is written to it must stay there
    )


def _amount_column(unit: str) -> ProgressColumn:
    """Return what shows the amount done, the whole amount and the speed."""
    from rich.filesize import decimal
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Amount(ProgressColumn):
        def render(self, task: Task) -> Text:
            done, total, speed = task.completed, task.total, task.finished_speed or task.speed
            if unit == BYTES:
                whole = "" if total is None else f"/{decimal(int(total))}"
                pace = "" if speed is None else f", {decimal(int(speed))}/s"
                return Text(f"{decimal(int(done))}{whole}{pace}")
            whole = "" if total is None else f"/{total:,.0f}"
            noun = unit if (done if total is None else total) == 1 else f"{unit}s"
            pace = "" if speed is None else f", {speed:,.1f}/s"
            return Text(f"{done:,.0f}{whole} {noun}{pace}")

    return Amount()
