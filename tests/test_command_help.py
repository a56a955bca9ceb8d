"""Help is shown as it is meant: examples on lines of their own, no marks of their source."""

from __future__ import annotations

from importlib import import_module

import click
import pytest
from click.testing import CliRunner

COMMANDS = ("fsclient.cli", "fsdata.cli", "fsexport.cli", "fstraining.cli")


def paths(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the arguments that lead to a command and to all below it."""
    found = [path]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found += paths(below, (*path, name))
    return found


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_shows_an_example_as_it_is_typed(module: str) -> None:
    main = import_module(module).main
    for path in paths(main):
        result = CliRunner().invoke(main, [*path, "--help"])
        assert result.exit_code == 0, result.output
        assert "\\b" not in result.output, path
        assert "Example:" in result.output, path
