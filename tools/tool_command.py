"""What the makers' commands have in common: an error ends with one text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fsengine.packs.pack import Pack
from fsengine.terminal.command_group import explained

ASSETS_VARIABLE = "FACESTATS_TEST_ASSETS"

assets_option = click.option(
    "--assets",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar=ASSETS_VARIABLE,
    show_envvar=True,
    help="Folder of the test assets.",
)

_INSTALL = "pip install 'facestats[server,export,training]'"


class ToolCommand(click.Command):
    """A command that ends with one text on every error that FaceStats explains.

    The exit code is 2 where what the user gave cannot be used, as for wrong usage, and 1 otherwise.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        return explained(lambda: super(ToolCommand, self).invoke(ctx), ctx, lambda _: _INSTALL)


def summary(pack: Pack) -> str:
    """Return the line that ends the making of a pack."""
    served = pack.served()
    return f"{pack.name}: {served.model_set_id}; marks: {served.marks_text or 'none'}"
