"""`fsclient score`: one photo or a few."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from fsclient.client import Client
from fsclient.commands.options import server_choice, server_options
from fsclient.photos.sources import find_photos
from fsclient.score.answer_text import photo_text
from fsdata.results.status import SCORED
from fsengine.terminal.messages import say

_CONCURRENCY = 4


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone on stdout.")
@click.option(
    "--draw",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Draw boxes, landmarks and values on a copy: a file for one photo, a folder for several.",
)
@click.option("--overwrite", is_flag=True, help="Let --draw replace files that are there; never the photos.")
@server_options
def score(
    photos: tuple[str, ...],
    as_json: bool,
    draw: Path | None,
    overwrite: bool,
    server: str | None,
    models: str | None,
    without: tuple[str, ...],
    gpu: bool,
) -> None:
    """Score one photo or a few.

    Exit codes: as of ingest; 3 too where a photo could not be drawn.

    Example: fsclient score photo.jpg --draw annotated.png
    """
    if overwrite and draw is None:
        raise click.UsageError("--overwrite is about --draw, which is not given.")
    found = find_photos(photos)
    drawings = None
    if draw is not None:
        from fsclient.score.draw import Drawings

        drawings = Drawings(found, draw, overwrite=overwrite)
    paths = [os.fsdecode(path) for path in found]
    with Client(server_choice(server, models, without, gpu), on_message=say) as client:
        scored = list(client.score_many(paths, concurrency=_CONCURRENCY))
        marks = client.served().marks_text
    if as_json:
        click.echo(json.dumps([photo.to_dict() for photo in scored], indent=1))
    else:
        for photo in scored:
            click.echo(photo_text(photo))
        if marks:
            say(f"note: results are marked ({marks})")
    drawn = True
    for path, failure in () if drawings is None else drawings.draw(scored):
        say(f"drew {path}" if failure is None else f"Error: {failure}")
        drawn = drawn and failure is None
    raise SystemExit(0 if drawn and all(photo.status in SCORED for photo in scored) else 3)
