"""The options of a file as defaults of the commands, each checked before anything is run."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from fsclient.config.config_file import Entry, read_config
from fsengine.errors import InvalidInputError

_NOT_FOR_FILES = frozenset({"help", "version", "config"})


def default_map(path: Path, root: click.Group, context: click.Context) -> dict[str, Any]:
    """Return the defaults that a file sets, as click takes them.

    Args:
        path: The file.
        root: The program's group.
        context: Its context.

    Raises:
        InvalidInputError: It names a command or an option that there is not, or a value that the option does not take.
    """
    return _of_group(path, root, context, read_config(path), "")


def _of_group(
    path: Path, group: click.Group, context: click.Context, entries: Mapping[str, Entry], name: str
) -> dict[str, Any]:
    known = group.list_commands(context)
    found: dict[str, Any] = {}
    for key, entry in entries.items():
        if key not in known:
            raise InvalidInputError(
                f"{path}, line {entry.line}: {name or 'fsclient'} has no command {_nearest(key, known)}"
            )
        command = group.get_command(context, key)
        assert command is not None
        if entry.value is None:
            continue
        whole = f"{name} {key}".strip()
        if not isinstance(entry.value, dict):
            raise InvalidInputError(
                f"{path}, line {entry.line}: {whole} is {_shown(entry.value)}, expected its options"
            )
        with click.Context(command, info_name=key, parent=context) as inner:
            if isinstance(command, click.Group):
                found[key] = _of_group(path, command, inner, entry.value, whole)
            else:
                found[key] = _of_command(path, command, inner, entry.value, whole)
    return found


def _of_command(
    path: Path, command: click.Command, context: click.Context, entries: Mapping[str, Entry], name: str
) -> dict[str, Any]:
    options = {option_name(option): option for option in options_of(command)}
    found: dict[str, Any] = {}
    for key, entry in entries.items():
        option = options.get(key)
        if option is None:
            raise InvalidInputError(f"{path}, line {entry.line}: {name} has no option {_nearest(key, options)}")
        assert option.name is not None
        try:
            found[option.name] = _checked(option, context, entry.value)
        except (click.BadParameter, InvalidInputError) as exc:
            told = exc.format_message() if isinstance(exc, click.BadParameter) else str(exc)
            raise InvalidInputError(f"{path}, line {entry.line}: {name}, {key}: {told}") from exc
    return found


def options_of(command: click.Command) -> list[click.Option]:
    """Return the options of a command that a file can set."""
    return [
        parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name not in _NOT_FOR_FILES and not parameter.hidden
    ]


def option_name(option: click.Option) -> str:
    """Return the long name of an option without its dashes."""
    return max(option.opts, key=len).lstrip("-")


def _checked(option: click.Option, context: click.Context, value: Any) -> Any:
    """Return a value as it may be a default.

    Raises:
        click.BadParameter: The option does not take it.
        InvalidInputError: It is of another kind.
    """
    if isinstance(value, dict) or value is None:
        raise InvalidInputError(f"found {_shown(value)}, expected a value")
    if option.is_flag:
        if not isinstance(value, bool):
            raise InvalidInputError(f"found {_shown(value)}, expected true or false")
        return value
    if option.multiple:
        values = value if isinstance(value, list) else [value]
        return [_single(option, context, item) for item in values]
    if isinstance(value, list):
        if "," not in (option.metavar or ""):
            raise InvalidInputError(f"found a list of {len(value)}, expected one value")
        try:
            # An option that takes several in one text, such as 1,2,4.
            return _single(option, context, ",".join(_single(option, context, item) for item in value))
        except (click.BadParameter, InvalidInputError) as exc:
            raise InvalidInputError(f"found a list of {len(value)}, expected one value") from exc
    return _single(option, context, value)


def _single(option: click.Option, context: click.Context, value: Any) -> str:
    """Return one value as the command line would have it."""
    if isinstance(value, bool):
        raise InvalidInputError(f"found {_shown(value)}; YAML reads yes, no, on and off as that: put text in quotes")
    if isinstance(value, (dict, list, bytes)) or value is None:
        raise InvalidInputError(f"found {_shown(value)}, expected text or a number; put text in quotes")
    text = str(value)
    option.type.convert(text, option, context)
    return text


def _nearest(found: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(found, names, n=1)
    return f"{found!r}; " + (f"did you mean {close[0]}?" if close else f"there are: {', '.join(names)}")


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "further keys"
    text = str(value)
    return text if len(text) <= 60 else text[:60] + "..."
