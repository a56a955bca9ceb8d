"""`fsclient ingest`: photos in, Parquet out."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from fsclient.client import Client
from fsclient.commands.ingest_bar import IngestBar
from fsclient.commands.options import (
    SERVER_VARIABLE,
    ShardType,
    no_embedding_option,
    program_name,
    server_choice,
    server_options,
)
from fsclient.ingest.reporting.summary_text import summary_text
from fsclient.ingest.settings import DEFAULT_PART_SIZE, IngestConfig, Runner
from fsclient.photos.source_rules import SourceRules
from fsdata.results.status import Status
from fsengine.errors import DeadlineError, ServerUnavailableError, StoreUnavailableError
from fsengine.files.path_list import path_lines
from fsengine.files.stores.store_path import AnyPath
from fsengine.terminal.messages import say
from fsengine.terminal.path_types import FolderType


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option(
    "--out", type=FolderType(stores=True), required=True, metavar="DIR", help="Folder for the parts, or URL of one."
)
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
    help="Processes that read and ask, or workers of the Ray cluster.  "
    "[default: 1, more for a server that takes many photos at once; one for each node]",
)
@click.option(
    "--runner",
    type=click.Choice([runner.value for runner in Runner]),
    default=Runner.LOCAL.value,
    show_default=True,
    help="Read and ask from this machine, or from the nodes of a Ray cluster.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Of the Ray cluster, or auto on a node of it.  [default: RAY_ADDRESS, else a cluster of this machine alone]",
)
@click.option(
    "--part-size", type=click.IntRange(1), default=DEFAULT_PART_SIZE, show_default=True, help="Photos of one part."
)
@click.option(
    "--retry",
    "retry_statuses",
    type=click.Choice([status.value for status in Status]),
    multiple=True,
    help="Score photos of earlier runs with this status again. Repeatable.",
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
    help="Take files and folders of this name, or path below SOURCE, that would be skipped. Repeatable.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out files and folders of this name, or path below SOURCE. Repeatable.",
)
@click.option(
    "--from-file", metavar="LIST", help="File or URL with a path or URL in each line, or - for stdin; no patterns."
)
@click.option("--null", is_flag=True, help="The paths of LIST end with NUL, as find -print0 writes them.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Take the first N photos at most.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Take N photos drawn from all, the same each time.  [drawn before --limit]",
)
@click.option("--column", metavar="NAME", help="Take the photos in this column of Parquet files.")
@click.option(
    "--id-column", metavar="NAME", help="Name the photos of Parquet files by this column.  [default: number of the row]"
)
@click.option(
    "--shard",
    type=ShardType(),
    metavar="I/N",
    help="Take one of N shares of the photos, I from 0; the same one each time.",
)
@click.option("--dry-run", is_flag=True, help="Count photos, bytes and formats, and write nothing.")
@click.option("--strict", is_flag=True, help="Make a row of every file, whatever it is.")
@server_options
def ingest(
    sources: tuple[str, ...],
    out: AnyPath,
    concurrency: int | None,
    processes: int | None,
    runner: str,
    address: str | None,
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
    column: str | None,
    id_column: str | None,
    shard: tuple[int, int] | None,
    dry_run: bool,
    strict: bool,
    server: str | None,
    models: str | None,
    without: tuple[str, ...],
    gpu: bool,
) -> None:
    r"""Find every face in photos, embed and score it, and write Parquet.

    SOURCE is a photo, a folder with all below it, a quoted pattern such as 'photos/**/*.jpg', a web address, or tar
    shards such as 'photos-{000..099}.tar'. They may lie in a store (s3://, gs://, az://), and so may DIR. With --column
    SOURCE is a Parquet file, or many. The same command again goes on where it stopped.

    What is found and is no photo by its name and first bytes (hidden files, texts, side-cars, videos) is skipped and
    counted. What you name yourself is always taken.

    --refresh brings results of other models to the served ones first. Where only heads changed, they run on the stored
    embeddings, and no photo is read. SOURCE may be left out.

    --no-embedding writes no column of embeddings, and later runs into DIR need it too. With --refresh and --models it
    removes those that are stored.

    --runner ray has the nodes of a Ray cluster read and score; this machine writes. More: docs/background/scale.md.

    \b
    Exit codes:
      0    every photo is ok or has no face
      1    an error that is none of these
      2    wrong usage, or a source, model or server that cannot be used
      3    some photos could not be scored, or some folders not be searched
      4    some photos are unfinished: run the same command again
      130  Ctrl-C

    \b
    Example:
      fsclient ingest photos/ --out results
      fsclient ingest s3://bucket/photos --out s3://bucket/results
    """
    if not (sources or refresh or from_file):
        raise click.UsageError("Missing argument 'SOURCE...'; only with --refresh or --from-file may it be left out.")
    if null and from_file is None:
        raise click.UsageError("--null is about the list of --from-file, which is not given.")
    if id_column is not None and column is None:
        raise click.UsageError("--id-column is about the Parquet files of --column, which is not given.")
    if address is not None and runner != Runner.RAY.value:
        raise click.UsageError("--address is that of a Ray cluster; expected --runner ray too.")
    listed = None if from_file is None else map(os.fsdecode, path_lines(from_file, null=null))
    if dry_run:
        rules = SourceRules(include, exclude, strict, limit, sample, column, id_column, shard)
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
                column=column,
                id_column=id_column,
                shard=shard,
                runner=runner,
                ray_address=address,
                listed=listed,
                progress=bar,
            )
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on")
        raise SystemExit(130) from None
    except StoreUnavailableError as exc:
        say(f"Error: {exc}")
        say("every photo that has its row keeps it; run the same command again to go on")
        raise SystemExit(4) from exc
    except (ServerUnavailableError, DeadlineError) as exc:
        say(f"Error: {exc}")
        say(f"no photo was done; run the same command again{' to go on' if refresh else ''}")
        raise SystemExit(4) from exc
    say(summary_text(summary, out, program_name()))
    raise SystemExit(summary.exit_code)


def _what_it_would_do(
    sources: tuple[str, ...], out: AnyPath, listed: Iterable[str] | None, rules: SourceRules, again: frozenset[Status]
) -> str:
    from fsclient.ingest.dry_run import dry_run, dry_run_text

    config = IngestConfig(
        sources=sources,
        out=out,
        rules=rules,
        listed=None if listed is None else map(os.fsencode, listed),
        retry_statuses=again,
    )
    return dry_run_text(dry_run(config))
