"""`fsclient ingest`: photos in, Parquet out."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fsclient.client import Client
from fsclient.commands.ingest_bar import IngestBar
from fsclient.commands.options import SERVER_VARIABLE, no_embedding_option, program_name, server_choice, server_options
from fsclient.ingest.settings import DEFAULT_PART_SIZE, IngestConfig
from fsclient.ingest.summary_text import summary_text
from fsclient.photos.source_rules import SourceRules
from fsdata.results.status import Status
from fsengine.errors import DeadlineError, ServerUnavailableError
from fsengine.files.path_list import read_path_list
from fsengine.terminal.messages import say


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the parts.")
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=None,
    help="Photos in flight.  [default: what the server can take; 8 on a CPU, less on a small /dev/shm]",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=None,
    help="Processes that read and ask.  [default: 1, more for a server that takes many photos at once]",
)
@click.option(
    "--part-size", type=click.IntRange(1), default=DEFAULT_PART_SIZE, show_default=True, help="Photos of one part."
)
@click.option(
    "--retry",
    "retry_statuses",
    type=click.Choice([status.value for status in Status]),
    multiple=True,
    help="Do photos of earlier runs with this status again; may be given again.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="Bring the results in DIR to the served models first, computing only what depends on the change.",
)
@no_embedding_option
@click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Take files and folders of this name or path below SOURCE that would be skipped; may be given again.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out files and folders of this name or path below SOURCE; may be given again.",
)
@click.option("--from-file", metavar="LIST", help="File with a path in each line, or - for stdin; no patterns.")
@click.option("--null", is_flag=True, help="The paths of LIST end with NUL, as find -print0 writes them.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Take the first N photos at most.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Take N photos drawn from all, the same each time.  [drawn before --limit]",
)
@click.option("--dry-run", is_flag=True, help="Count photos, bytes and formats, and write nothing.")
@click.option("--strict", is_flag=True, help="Make a row of every file, whatever its name says that it is.")
@server_options
def ingest(
    sources: tuple[str, ...],
    out: Path,
    concurrency: int | None,
    processes: int | None,
    part_size: int,
    retry_statuses: tuple[str, ...],
    refresh: bool,
    no_embedding: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    from_file: str | None,
    null: bool,
    limit: int | None,
    sample: int | None,
    dry_run: bool,
    strict: bool,
    server: str | None,
    models: str | None,
    without: tuple[str, ...],
    gpu: bool,
) -> None:
    r"""Find, embed and score every face in photos, into Parquet.

    SOURCE is a photo, a folder (searched with all below it) or a quoted pattern such as 'photos/**/*.jpg'.
    Run the same command again and it goes on where it stopped.

    Hidden folders and files, and others that are no photos by name and first
    bytes (texts, side-cars, videos), are skipped where they are found in a
    folder, and counted. What is named itself is always taken.

    With --refresh, results of other models are brought to the served ones:
    where only heads changed, from the stored embeddings, and no photo is read.
    SOURCE may then be left out.

    With --no-embedding the parts have no column of embeddings; go on in such a
    folder with the same option. With --refresh and --models it
    removes those that are stored.

    \b
    Exit codes: 0 every photo is ok or has no face; 3 some photos could not be
    scored, or folders not be searched; 4 some are unfinished; 130 Ctrl-C; 2 usage; 1 any other error.

    Example: fsclient ingest photos/ --out results
    """
    if not (sources or refresh or from_file):
        raise click.UsageError("Missing argument 'SOURCE...'; only with --refresh or --from-file may it be left out.")
    if null and from_file is None:
        raise click.UsageError("--null is about the list of --from-file, which is not given.")
    listed = [] if from_file is None else list(map(os.fsdecode, read_path_list(from_file, null=null)))
    if dry_run:
        rules = SourceRules(include, exclude, strict, limit, sample)
        say(_what_it_would_do(sources, out, listed, rules, frozenset(map(Status, retry_statuses))))
        return
    if refresh and server is None and models is None:
        raise click.UsageError(
            f"--refresh needs --models or --server (or {SERVER_VARIABLE}): it brings results to the models named."
        )
    try:
        with Client(server_choice(server, models, without, gpu), on_message=say) as client, IngestBar() as bar:
            summary = client.ingest(
                sources,
                out,
                concurrency=concurrency,
                processes=processes,
                part_size=part_size,
                retry_statuses=map(Status, retry_statuses),
                refresh=refresh,
                embedding=not no_embedding,
                include=include,
                exclude=exclude,
                strict=strict,
                limit=limit,
                sample=sample,
                listed=listed,
                progress=bar,
            )
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on")
        raise SystemExit(130) from None
    except (ServerUnavailableError, DeadlineError) as exc:
        say(f"Error: {exc}")
        say(f"no photo was done; run the same command again{' to go on' if refresh else ''}")
        raise SystemExit(4) from exc
    say(summary_text(summary, out, program_name()))
    raise SystemExit(summary.exit_code)


def _what_it_would_do(
    sources: tuple[str, ...], out: Path, listed: list[str], rules: SourceRules, again: frozenset[Status]
) -> str:
    from fsclient.ingest.dry_run import dry_run, dry_run_text

    config = IngestConfig(
        sources=sources, out=out, rules=rules, listed=tuple(map(os.fsencode, listed)), retry_statuses=again
    )
    return dry_run_text(dry_run(config))
