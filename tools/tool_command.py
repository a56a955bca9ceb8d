"""What the makers' commands have in common: an error ends with one text, progress goes to stderr."""

from __future__ import annotations

from typing import Any

import click

from fsengine.errors import FaceStatsError, InvalidInputError
from fsengine.packs.pack import Pack


class ToolCommand(click.Command):
    """A command that ends with one text on every error that FaceStats explains.

    The exit code is 2 where what the user gave cannot be used, as for wrong usage, and 1 otherwise.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except FaceStatsError as exc:
            kind = _UnusableInput if isinstance(exc, InvalidInputError) else click.ClickException
            raise kind(str(exc)) from exc
        except ImportError as exc:
            raise click.ClickException(
                f"{exc.name or exc} is not installed, and this tool needs it: pip install 'facestats[server,export]'"
            ) from exc


class _UnusableInput(click.ClickException):
    exit_code = 2


def say(line: str) -> None:
    """Show a line of progress."""
    click.echo(line, err=True)


def summary(pack: Pack) -> str:
    """Return the line that ends the making of a pack."""
    served = pack.served()
    return f"{pack.name}: {served.model_set_id}; marks: {served.marks_text or 'none'}"
