"""The `fsclient` command: a group whose subcommands are imported when they are used."""

from __future__ import annotations

import importlib
import logging

import click

from fsengine.command_group import ExplainedGroup

_COMMANDS = {
    "ingest": "find, embed and score every face in folders of photos, into Parquet",
    "score": "score one photo or a few, to the terminal, as JSON or drawn on a copy",
    "serve": "run the embedded server in the foreground",
    "models": "list, verify and build model packs",
    "table": "build and describe the master table, a row per face",
}
"""Name of each subcommand to its line in the help; its module is `fsclient.commands.<name>`."""


class LazyGroup(ExplainedGroup):
    """Imports a subcommand's module on first use, so that `--help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"fsclient.commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facestats", prog_name="fsclient")
@click.option("-v", "--verbose", is_flag=True, help="Also write what happens to stderr.")
def main(verbose: bool) -> None:
    """Every face in your photos found, embedded, scored and described, into Parquet.

    Example: fsclient ingest photos/ --out results
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
