"""What the project's commands have in common."""

from __future__ import annotations

from typing import Any

import click

from fsengine.errors import FaceStatsError, InvalidInputError


class ExplainedGroup(click.Group):
    """A group whose commands end with one text on every error that FaceStats explains.

    The exit code is 2 where what the user gave cannot be used, as for wrong usage, and 1 otherwise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _mark_paragraphs(self)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a subcommand."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _mark_paragraphs(command)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand."""
        try:
            return super().invoke(ctx)
        except FaceStatsError as exc:
            kind = _UnusableInput if isinstance(exc, InvalidInputError) else click.ClickException
            raise kind(str(exc)) from exc
        except ImportError as exc:
            raise click.ClickException(
                f"{exc.name or exc} is not installed, and this command needs it: pip install 'facestats[server,export]'"
            ) from exc


def _mark_paragraphs(command: click.Command) -> None:
    """Let a paragraph of a raw docstring that begins with a backslash and a b stay as it is written."""
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")


class _UnusableInput(click.ClickException):
    exit_code = 2
