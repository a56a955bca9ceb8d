"""The `fsclient` command: a group whose subcommands are imported when they are used."""

from __future__ import annotations

import logging
from pathlib import Path

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
    "table": "build, describe and export the master table, a row per face; drop photos that are gone",
    "config": "show which options a file or a variable sets",
}
"""Name of each subcommand to its line in the help; its module is `fsclient.commands.<name>` unless said below."""

_ELSEWHERE = {"config": "fsclient.config.commands", "table": "fsclient.commands.results.table"}


CONFIG_META = "fsclient.config"
"""Key of a context's `meta` with the file of options that is in force."""


class ClientGroup(LazyGroup):
    """The client's own commands, and those of packages above it; see `fsclient.commands.extensions`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `--config` from behind the command, where people write it."""
        end = args.index("--") if "--" in args else len(args)
        before, after, taken = args[:end], args[end:], []
        for number, word in enumerate(before):
            if word.startswith("--config="):
                taken = [word]
                del before[number]
                break
            if word == "--config" and number + 1 < len(before):
                taken = before[number : number + 2]
                del before[number : number + 2]
                break
        return super().parse_args(ctx, [*taken, *before, *after])

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
    lazy={name: (_ELSEWHERE.get(name, f"fsclient.commands.{name}"), summary) for name, summary in _COMMANDS.items()},
    command_of=command_of,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="facestats", prog_name="fsclient")
@click.option("-v", "--verbose", is_flag=True, help="Also write what happens to stderr.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="FACESTATS_CONFIG",
    show_envvar=True,
    metavar="YAML",
    help="File of options: commands as keys, their long options below. It may stand behind the command too.",
)
@click.pass_context
def main(context: click.Context, verbose: bool, config_file: Path | None) -> None:
    """Every face in your photos found, embedded, scored and described, into Parquet.

    Example: fsclient ingest photos/ --out results
    """
    if config_file is not None:
        from fsclient.config.option_defaults import default_map

        assert isinstance(context.command, click.Group)
        context.meta[CONFIG_META] = str(config_file)
        context.default_map = default_map(config_file, context.command, context)
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
