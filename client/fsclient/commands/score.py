"""`fsclient score`: one photo or a few."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from fsclient.client import Client
from fsclient.commands.options import server_choice, server_options
from fsclient.photos.sources import find_photos, skipped_text
from fsclient.score.answer_text import photo_text
from fsdata.results.status import SCORED
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import printable, say

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
@server_options
def score(
    photos: tuple[str, ...],
    as_json: bool,
    draw: Path | None,
    server: str | None,
    models: str | None,
    without: tuple[str, ...],
    gpu: bool,
) -> None:
    """Score one photo or a few.

    Exit codes: as of ingest.

    Example: fsclient score photo.jpg --draw annotated.png
    """
    found = find_photos(photos)
    for source, reason in found.unreadable:
        say(f"{printable(source)}: {reason}")
    if skipped := skipped_text(found.skipped_files, found.skipped_folders):
        say(f"skipped: {skipped}; what is named itself is taken")
    if not found.paths:
        raise InvalidInputError(f"{', '.join(photos)} holds no photo; expected photos, or folders with some")
    paths = [os.fsdecode(path) for path in found.paths]
    with Client(server_choice(server, models, without, gpu), on_message=say) as client:
        scored = list(client.score_many(paths, concurrency=_CONCURRENCY))
        marks = client.served().marks_text
    if draw is not None:
        from fsclient.score.draw import draw_all

        for path in draw_all(scored, draw):
            say(f"drew {path}")
    if as_json:
        click.echo(json.dumps([photo.to_dict() for photo in scored], indent=1))
    else:
        for photo in scored:
            click.echo(photo_text(photo))
        if marks:
            say(f"note: results are marked ({marks})")
    raise SystemExit(3 if found.unreadable or any(photo.status not in SCORED for photo in scored) else 0)
