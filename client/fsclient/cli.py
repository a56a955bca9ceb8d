"""The `fsclient` command: a group whose subcommands are imported when they are used."""

from __future__ import annotations

import logging

import click

from fsclient.commands.remedies import command_of
from fsengine.terminal.command_group import LazyGroup

_COMMANDS = {
    "ingest": "find, embed and score every face in folders of photos, into Parquet",
    "score": "score one photo or a few, to the terminal, as JSON or drawn on a copy",
    "serve": "run the embedded server in the foreground",
    "status": "show how a running server is, what it serves, and what its steps did",
    "bench": "measure a server with your photos: speed, latency, and the stage that bounds it",
    "models": "list, verify and build model packs",
    "table": "build and describe the master table, a row per face; drop photos that are gone",
}
"""Name of each subcommand to its line in the help; its module is `fsclient.commands.<name>`."""


class ClientGroup(LazyGroup):
    """The client's own commands, and those of packages above it; see `fsclient.commands.extensions`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands in the order of the help, those of other packages last."""
        return [*super().list_commands(ctx), *self._extensions()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand.

        Raises:
            MissingDependencyError: It is one of another package that is not installed.
        """
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        from fsclient.commands.extensions import find_extension

        return find_extension(cmd_name)

    def summaries(self) -> dict[str, str]:
        """Return the lines of the help by subcommand."""
        return {**super().summaries(), **self._extensions()}

    def install_text(self, ctx: click.Context) -> str:
        """Return what brings the libraries of the subcommand that is run."""
        from fsclient.commands.extensions import EXTENSIONS

        extension = EXTENSIONS.get(ctx.invoked_subcommand or "")
        return super().install_text(ctx) if extension is None else extension.install_text

    def _extensions(self) -> dict[str, str]:
        from fsclient.commands.extensions import available_extensions

        own = super().summaries()
        return {name: summary for name, summary in available_extensions().items() if name not in own}


@click.group(
    cls=ClientGroup,
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
