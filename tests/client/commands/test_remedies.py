"""What an error of the engine asks for is shown as a command of `fsclient`, and of no other program."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

from fsclient.cli import main
from fsclient.commands.remedies import COMMANDS, command_of
from fsengine.errors import Action, FaceStatsError, InvalidInputError, Remedy
from fsengine.terminal.command_group import CommandOf, ExplainedGroup


def command_in(line: str) -> tuple[click.Command, list[str]]:
    """Return the command of the CLI that a line runs, and the words after its name."""
    program, *words = shlex.split(line.split(" > ")[0])
    assert program == "fsclient"
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    return command, words


@pytest.mark.parametrize("action", Action)
def test_every_action_has_a_command_that_exists(action: Action) -> None:
    line = command_of(Remedy(action, "subject"))
    assert "{" not in line
    command, words = command_in(line)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options
    if words and not words[0].startswith("-"):
        assert any(isinstance(parameter, click.Argument) for parameter in command.params)


def test_the_table_has_nothing_else() -> None:
    assert list(COMMANDS) == list(Action)


def group_with(table: CommandOf | None) -> click.Group:
    """Return a group with one inside, both of which explain errors, and a command that fails."""

    @click.group(cls=ExplainedGroup, command_of=table)
    def outer() -> None:
        pass

    @outer.group(cls=ExplainedGroup)
    def inner() -> None:
        pass

    @inner.command()
    @click.argument("kind")
    def fail(kind: str) -> None:
        if kind == "plain":
            raise FaceStatsError("it is gone")
        raise InvalidInputError("yunet is not here; fetch it", remedy=Remedy(Action.FETCH_SOURCE, "yunet"))

    return outer


def test_the_command_follows_the_message() -> None:
    done = CliRunner().invoke(group_with(command_of), ["inner", "fail", "remedy"])
    assert done.exit_code == 2
    assert done.output == "Error: yunet is not here; fetch it\nrun: fsclient models fetch yunet\n"


@pytest.mark.parametrize(("table", "kind"), [(None, "remedy"), (command_of, "plain")])
def test_without_a_remedy_or_a_table_the_message_stands_alone(table: CommandOf | None, kind: str) -> None:
    done = CliRunner().invoke(group_with(table), ["inner", "fail", kind])
    assert done.exit_code in (1, 2)
    assert "run:" not in done.output
    assert done.output.count("\n") == 1


def test_a_model_source_that_is_not_known_is_answered_with_the_list() -> None:
    done = CliRunner().invoke(main, ["models", "fetch", "nobody"])
    assert done.exit_code == 2
    assert "there is no model source named 'nobody'" in done.output
    assert done.output.endswith("run: fsclient models list\n")
