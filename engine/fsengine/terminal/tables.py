"""Tables for people: rich on a terminal, aligned plain text with whole cells anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from fsengine.terminal.messages import on_terminal, printable

if TYPE_CHECKING:
    from rich.padding import Padding

_GAP = 2
"""Spaces between columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells in rows and columns.

    Attributes:
        rows: As many cells in each as there are columns.
        align: A letter for each column: `l` for flush left, `r` for flush right.
        header: Names of the columns; None for a table without.
        indent: Spaces before each line.
    """

    rows: Sequence[Sequence[str]]
    align: str
    header: Sequence[str] | None = None
    indent: int = 0

    def __post_init__(self) -> None:
        if not self.align or set(self.align) - {"l", "r"}:
            raise ValueError(f"align {self.align!r} must have an l or an r for each column")
        for row in self._lines:
            if len(row) != len(self.align):
                raise ValueError(f"a row of {len(row)} cells, {list(row)}, in a table of {len(self.align)} columns")

    @property
    def _lines(self) -> list[Sequence[str]]:
        return [*([] if self.header is None else [self.header]), *self._cells]

    @property
    def _cells(self) -> list[Sequence[str]]:
        """Return the rows as they may be shown: their texts come from files and models of anyone."""
        return [[printable(cell) for cell in row] for row in self.rows]

    def plain_lines(self) -> list[str]:
        """Return the table as text, a line for each row, no cell cut or wrapped."""
        widths = [max(map(len, column)) for column in zip(*self._lines, strict=True)]
        lines = []
        for row in self._lines:
            cells = [
                cell.rjust(width) if side == "r" else cell.ljust(width)
                for cell, width, side in zip(row, widths, self.align, strict=True)
            ]
            lines.append((" " * self.indent + (" " * _GAP).join(cells)).rstrip())
        return lines


Block = str | Table
"""A part of what a command prints: lines of text, or a table."""


def plain_text(blocks: Iterable[Block]) -> str:
    """Return what a command prints where there is no terminal."""
    lines: list[str] = []
    for block in blocks:
        lines += [printable(block, lines=True)] if isinstance(block, str) else block.plain_lines()
    return "\n".join(lines)


def show(blocks: Iterable[Block], *, err: bool = False) -> None:
    """Print text and tables.

    On a terminal a table gets bold headers and folds cells into its width; anywhere else it is `plain_text`.

    Args:
        blocks: In their order, each on lines of its own.
        err: Print to stderr in place of stdout.
    """
    stream = sys.stderr if err else sys.stdout
    if not on_terminal(stream):
        click.echo(plain_text(blocks), err=err)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    for block in blocks:
        if isinstance(block, str):
            console.print(Text(printable(block, lines=True)), soft_wrap=True)
        else:
            console.print(_rich_table(block))


def _rich_table(table: Table) -> Padding:
    from rich import table as rich_table
    from rich.padding import Padding
    from rich.text import Text

    drawn = rich_table.Table(
        box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=table.header is not None, header_style="bold"
    )
    for number, side in enumerate(table.align):
        name = "" if table.header is None else table.header[number]
        drawn.add_column(Text(name), justify="right" if side == "r" else "left", overflow="fold")
    for row in table._cells:
        drawn.add_row(*map(Text, row))
    return Padding.indent(drawn, table.indent)
