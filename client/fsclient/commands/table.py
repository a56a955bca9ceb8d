"""`fsclient table`: the master table."""

from __future__ import annotations

from pathlib import Path

import click

from fsclient.commands.options import program_name
from fsclient.commands.results_text import info_blocks
from fsdata.results.master_table import build_table, describe
from fsengine.terminal.command_group import ExplainedGroup
from fsengine.terminal.messages import say
from fsengine.terminal.tables import show

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.group(cls=ExplainedGroup)
def table() -> None:
    """Build and describe the master table: a row per face, flat.

    Example: fsclient table build results && fsclient table info results
    """


@table.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
def build(folder: Path) -> None:
    """Build DIR/_table/faces.parquet from the parts in DIR.

    Example: fsclient table build results
    """
    path = build_table(folder)
    say(f"wrote {path}")
    say(f"next: {program_name()} table info {folder}")


@table.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
def info(folder: Path) -> None:
    """Say what DIR holds: photos, faces, models, columns and the first rows.

    Example: fsclient table info results
    """
    show(info_blocks(describe(folder)))
