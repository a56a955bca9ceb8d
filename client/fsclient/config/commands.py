"""`fsclient config`: what the options of commands are, and from where."""

from __future__ import annotations

import os
import re
from typing import Any

import click
from click.core import ParameterSource

from fsclient.config.option_defaults import option_name, options_of
from fsengine.errors import InvalidInputError
from fsengine.terminal.command_group import ExplainedGroup
from fsengine.terminal.tables import Table, show

_CREDENTIALS = (
    (re.compile(r"(\w[\w+.-]*://)[^\s'\"]*@"), r"\1***@"),
    (re.compile(r"((?:^|[\s,]))[^\s/@:,]+:[^\s@,]*@"), r"\1***@"),
    (re.compile(r"((?:token|password|passwd|secret|api[_-]?key)=)[^\s&,;]+", re.IGNORECASE), r"\1***"),
)
"""What is shown as stars: who calls, as in grpcs://me:secret@host:8001 or me:secret@host, and what follows `token=`."""


@click.group(cls=ExplainedGroup)
def config() -> None:
    """Options from a file (fsclient --config FILE, or FACESTATS_CONFIG).

    Example: fsclient --config facestats.yaml config show
    """


@config.command("show")
@click.argument("command", nargs=-1)
@click.pass_context
def show_command(context: click.Context, command: tuple[str, ...]) -> None:
    r"""Say which options are in force for COMMAND, and from where; without it, which a file or variable sets.

    \b
    Example:
      fsclient --config facestats.yaml config show
      fsclient config show ingest
      fsclient config show table export
    """
    root = context.find_root()
    found = []
    for name, leaf, inner in _leaves(root, command):
        for option in options_of(leaf):
            value, source = _value_of(option, inner)
            if command or source in (ParameterSource.DEFAULT_MAP, ParameterSource.ENVIRONMENT):
                found.append((name, option_name(option), _text(value), _origin(source, option, root)))
    if not found:
        click.echo("no option is set by a file or a variable; `fsclient config show COMMAND` lists those of a command")
        return
    show([Table(rows=found, align="llll", header=("command", "option", "value", "from"))])


def _leaves(root: click.Context, path: tuple[str, ...]) -> list[tuple[str, click.Command, click.Context]]:
    """Return the commands at and below a path, each with its name and a context that knows its defaults."""
    found: list[tuple[str, click.Command, click.Context]] = []

    def walk(command: click.Command, context: click.Context, names: tuple[str, ...], left: tuple[str, ...]) -> None:
        if not isinstance(command, click.Group):
            if left:
                raise InvalidInputError(f"{' '.join(names)} has no command {left[0]!r}")
            found.append((" ".join(names), command, context))
            return
        known = command.list_commands(context)
        if left and left[0] not in known:
            raise InvalidInputError(f"there is no command {left[0]!r}; expected one of {', '.join(known)}")
        for name in left[:1] or known:
            inner = command.get_command(context, name)
            if inner is not None:
                walk(inner, click.Context(inner, info_name=name, parent=context), (*names, name), left[1:])

    walk(root.command, root, (), path)
    return found


def _value_of(option: click.Option, context: click.Context) -> tuple[Any, ParameterSource]:
    value, source = option.consume_value(context, {})
    return value, source


def _text(value: Any) -> str:
    if value is None or type(value).__name__ == "Sentinel":
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    for pattern, instead in _CREDENTIALS:
        shown = pattern.sub(instead, shown)
    return shown


def _origin(source: ParameterSource, option: click.Option, root: click.Context) -> str:
    match source:
        case ParameterSource.DEFAULT_MAP:
            return str(root.meta.get("fsclient.config", "the file"))
        case ParameterSource.ENVIRONMENT:
            names = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
            return next((f"${name}" for name in names if os.environ.get(name)), "the environment")
        case _:
            return "default"
