"""The `fsclient` command: a group whose subcommands are imported when they are used."""

from __future__ import annotations

import logging

import click

from fsclient.commands.remedies import command_of
from fsengine.command_group import LazyGroup

_COMMANDS = {
    "ingest": "find, embed and score every face in folders of photos, into Parquet",
    "score": "score one photo or a few, to the terminal, as JSON or drawn on a copy",
    "serve": "run the embedded server in the foreground",
    "bench": "measure a server with your photos: speed, latency, and the stage that bounds it",
    "models": "list, verify and build model packs",
    "table": "build and describe the master table, a row per face",
}
"""Name of each subcommand to its line in the help; its module is `fsclient.commands.<name>`."""


@click.group(
    cls=LazyGroup,
    lazy={name: (f"fsclient.commands.{name}", summary) for name, summary in _COMMANDS.items()},
    command_of=command_of,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="facestats", prog_name="fsclient")
@click.option("-v", "--verbose", is_flag=True, help="Also write what happens to stderr.")
def main(verbose: bool) -> None:
    """Every face in your photos found, embedded, scored and described, into Parquet.

    Example: fsclient ingest photos/ --out results
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
