"""`fsclient score`: one photo or a few."""

from __future__ import annotations

import collections
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from fsclient.client import Client
from fsclient.commands.options import no_embedding_option, server_choice, server_options
from fsclient.photos.finding.photo_search import find_photos
from fsclient.photos.given import given_as
from fsclient.score.answer_text import photo_text
from fsclient.score.answers import ScoredPhoto
from fsdata.results.source import source_text
from fsdata.results.status import SCORED
from fsengine.contracts.served import marks_text
from fsengine.errors import AccessDeniedError, DeadlineError, InferenceError, InvalidInputError, ServerUnavailableError
from fsengine.terminal.messages import counted, printable, say
from fsengine.terminal.path_types import LocalPath

_CONCURRENCY = 4


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone on stdout.")
@click.option(
    "--draw",
    type=LocalPath(path_type=Path),
    metavar="OUT",
    help="Draw what was found on a copy, with a legend: a file for one photo, a folder for several.",
)
@click.option("--overwrite", is_flag=True, help="Let --draw replace files that are there; never the photos.")
@no_embedding_option
@server_options
def score(
    photos: tuple[str, ...],
    as_json: bool,
    draw: Path | None,
    overwrite: bool,
    no_embedding: bool,
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
    for source, reason in found.tally.unreadable:
        say(f"{printable(source)}: {reason}")
    if skipped := found.tally.skipped_text:
        say(f"skipped: {skipped}; what is named itself is taken")
    if not found.entries:
        raise InvalidInputError(f"{', '.join(photos)} holds no photo; expected photos, or folders with some")
    drawings = None
    if draw is not None:
        from fsclient.score.draw import Drawings

        drawings = Drawings(found.paths, draw, overwrite=overwrite)
    places = [given_as(entry) for entry in found.entries]
    with Client(server_choice(server, models, without, gpu), on_message=say) as client:
        answers = score_until_gone(client, places, embedding=not no_embedding)
        scored = answers.scored
        # before the server is stopped, which takes a moment
        show_answers(scored, marks_text(scored[0].marks) if scored else "", as_json=as_json)
    drawn = True
    for path, failure in () if drawings is None else drawings.draw(scored):
        say(f"drew {printable(str(path))}" if failure is None else f"Error: {failure}")
        drawn = drawn and failure is None
    if answers.unanswered:
        say(f"{counted(len(answers.unanswered), 'photo')} without an answer ({answers.cause}); run again for:")
        for photo_path in answers.unanswered:
            say(f"  {source_text(os.fsencode(photo_path))}")
        raise SystemExit(4)
    failed = found.tally.unreadable or not drawn or any(photo.status not in SCORED for photo in scored)
    raise SystemExit(3 if failed else 0)


def show_answers(scored: Sequence[ScoredPhoto], marks: str, *, as_json: bool) -> None:
    """Print answers: as JSON alone, or as text with the marks of what was served."""
    if as_json:
        click.echo(json.dumps([photo.to_dict() for photo in scored], indent=1))
        return
    for photo in scored:
        click.echo(photo_text(photo))
    if marks:
        say(f"note: results are marked ({marks})")


@dataclass(slots=True)
class Answers:
    """What a server answered before it went away.

    Attributes:
        scored: The answers, in the order of the photos.
        unanswered: Photos without one.
        cause: Why the first of them has none.
    """

    scored: list[ScoredPhoto] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    cause: InferenceError | None = None


def score_until_gone(client: Client, paths: Sequence[str], *, embedding: bool) -> Answers:
    """Score photos until the server is gone."""
    answers = Answers()
    left = collections.deque(paths)

    def while_there() -> Iterator[str]:
        # A server that is gone was asked several times, with pauses: no other photo would get an answer.
        while left and not isinstance(answers.cause, ServerUnavailableError):
            yield left.popleft()

    def note(photo: object, exc: InferenceError) -> None:
        if isinstance(exc, AccessDeniedError):
            raise exc
        answers.unanswered.append(str(photo))
        answers.cause = answers.cause or exc

    try:
        photos = client.score_many(while_there(), concurrency=_CONCURRENCY, on_unanswered=note, embedding=embedding)
        answers.scored.extend(photos)
    except (ServerUnavailableError, DeadlineError) as exc:  # before the first photo
        answers.cause = exc
    answers.unanswered.extend(left)
    return answers
