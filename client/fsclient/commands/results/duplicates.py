"""`fsclient table duplicates`: photos that are the same, or nearly."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fsdata.results import open_results
from fsdata.selection.photo_copies import DISTANCE, MOST_DISTANCE, find_copies, find_near_duplicates
from fsengine.files.output_path import OutputPaths
from fsengine.terminal.messages import counted, printable, say
from fsengine.terminal.path_types import FolderType, LocalPath

_SHOWN_GROUPS = 20
_SHOWN_PHOTOS = 5


@click.command()
@click.argument("folder", metavar="DIR", type=FolderType(exists=True))
@click.option("--near", is_flag=True, help="Photos that look the same, by a hash that `fsclient crops DIR` keeps.")
@click.option(
    "--distance",
    type=click.IntRange(0, MOST_DISTANCE),
    help=f"Bits of 64 that may differ, with --near.  [default: {DISTANCE}]",
)
@click.option(
    "--out", type=LocalPath(path_type=Path, dir_okay=False), metavar="CSV", help="Write all of them to a file."
)
@click.option("--overwrite", is_flag=True, help="Replace the file where it is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone on stdout: every photo of every group.")
def duplicates(
    folder: Path, near: bool, distance: int | None, out: Path | None, overwrite: bool, as_json: bool
) -> None:
    r"""List the photos of DIR that are there more than once, in groups, the largest first.

    By default those with the same bytes. With --near those that look the same, though they were resized, or compressed
    anew. Whole photos are compared, never faces: two photos of one person are no duplicates.

    \b
    Example:
      fsclient table duplicates results
      fsclient table duplicates results --near --distance 2 --out duplicates.csv
    """
    if distance is not None and not near:
        raise click.UsageError("--distance is about --near, which is not given.")
    results = open_results(folder)
    paths = OutputPaths(results.paths, overwrite=overwrite)
    if out is not None:
        paths.check(out)
    found = find_near_duplicates(results, DISTANCE if distance is None else distance) if near else find_copies(results)
    if out is not None:
        import pyarrow.csv as csv

        paths.write(out, lambda path: csv.write_csv(found, path))
    rows = found.to_pylist()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    number = rows[-1]["group"] + 1 if rows else 0
    say(f"{counted(len(rows), 'photo')} in {counted(number, 'group')}" if rows else "there are none")
    groups: dict[int, list[str]] = {}
    for row in rows:
        name = printable(row["source"])
        groups.setdefault(row["group"], []).append(f"{name} ({row['distance']} bits)" if row["distance"] else name)
    for group in range(min(number, _SHOWN_GROUPS)):
        photos = groups[group]
        click.echo(counted(len(photos), "photo"))
        for name in photos[:_SHOWN_PHOTOS]:
            click.echo(f"  {name}")
        if len(photos) > _SHOWN_PHOTOS:
            click.echo(f"  and {len(photos) - _SHOWN_PHOTOS} more")
    if number > _SHOWN_GROUPS:
        click.echo(f"and {number - _SHOWN_GROUPS} more groups: --out CSV or --json gives all")
    if out is not None:
        say(f"wrote {out}")
