"""What the project's commands have in common."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import click

from fsengine.errors import AccessDeniedError, FaceStatsError, InvalidInputError, Remedy
from fsengine.terminal.messages import printable

CommandOf = Callable[[Remedy], str]
"""Gives the command line that carries a remedy out."""


class ExplainedGroup(click.Group):
    """A group whose commands end with one text on every error that FaceStats explains.

    The exit code is 2 where what the user gave cannot be used, as for wrong usage, and 1 otherwise.
    """

    def __init__(self, *args: Any, command_of: CommandOf | None = None, **kwargs: Any) -> None:
        """Make the group.

        Args:
            *args: Of `click.Group`.
            command_of: Gives the program's command for an error's remedy, which is then shown below the message; it
                holds for the groups inside of this one too.
            **kwargs: Of `click.Group`.
        """
        super().__init__(*args, **kwargs)
        self._command_of = command_of
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
        return explained(lambda: super(ExplainedGroup, self).invoke(ctx), ctx, self.install_text)

    def install_text(self, ctx: click.Context) -> str:
        """Return what the user types to get the libraries of the subcommand that is run."""
        return "pip install 'facestats[server,export]'"


def explained(run: Callable[[], Any], ctx: click.Context, install_text: Callable[[click.Context], str]) -> Any:
    """Run a command; what FaceStats explains, and a library that is missing, ends it with one text.

    Args:
        run: Does what the command does.
        ctx: Its context.
        install_text: Gives what the user types to get the command's libraries.

    Raises:
        click.ClickException: The text, with the exit code 2 where what the user gave cannot be used, 1 otherwise.
    """
    try:
        return run()
    except FaceStatsError as exc:
        kind = _UnusableInput if isinstance(exc, (InvalidInputError, AccessDeniedError)) else click.ClickException
        raise kind(_message(ctx, exc)) from exc
    except ImportError as exc:
        raise click.ClickException(
            f"{exc.name or exc} is not installed, and this command needs it: {install_text(ctx)}"
        ) from exc


def _message(context: click.Context, error: FaceStatsError) -> str:
    """Return the text of an error, with the program's command for its remedy where it has one."""
    root = context.find_root().command
    command_of = root._command_of if isinstance(root, ExplainedGroup) else None
    text = printable(str(error), lines=True)
    if error.remedy is None or command_of is None:
        return text
    return f"{text}\nrun: {command_of(error.remedy)}"


class LazyGroup(ExplainedGroup):
    """A group that imports a subcommand's module on first use, so that `--help` is instant."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        """Make the group.

        Args:
            *args: Of `click.Group`.
            lazy: Name of each subcommand to the module that has it under that name, and its line in the help.
            **kwargs: Of `click.Group`.
        """
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands in the order of the help."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand."""
        if cmd_name not in self._lazy:
            return None
        command = getattr(importlib.import_module(self._lazy[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries().items()))

    def summaries(self) -> dict[str, str]:
        """Return the lines of the help by subcommand."""
        return {name: summary for name, (_, summary) in self._lazy.items()}


def _mark_paragraphs(command: click.Command) -> None:
    """Let a paragraph of a raw docstring that begins with a backslash and a b stay as it is written."""
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")


class _UnusableInput(click.ClickException):
    exit_code = 2
