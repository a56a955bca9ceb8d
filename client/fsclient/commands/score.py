"""`fsclient score`: one photo or a few."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fsclient.commands.options import server_choice, server_options
from fsclient.score.answer_text import photo_json, photo_text
from fsclient.score.few_photos import score_photos
from fsengine.terminal.messages import say


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
    result = score_photos(photos, server_choice(server, models, without, gpu), say)
    if draw is not None:
        from fsclient.score.draw import draw_all

        for path in draw_all(result, draw):
            say(f"drew {path}")
    if as_json:
        click.echo(json.dumps([photo_json(row, result.models) for row in result.rows], indent=1))
    else:
        for row in result.rows:
            click.echo(photo_text(row, result.models))
        if result.models.marks_text:
            say(f"note: results are marked ({result.models.marks_text})")
    raise SystemExit(result.exit_code)
