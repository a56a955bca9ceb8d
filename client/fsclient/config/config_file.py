"""A YAML file of options, read so that every mistake in it can be named with its line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from fsengine.errors import InvalidInputError
from fsengine.files.regular_file import open_regular

_MOST_BYTES = 256 << 10
_MOST_EVENTS = 10_000

_PLAIN_TAGS = "tag:yaml.org,2002:"
_PYTHON_TAGS = "tag:yaml.org,2002:python/"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of the file.

    Attributes:
        line: Where its key stands, from 1.
        value: Text, a number as it is written, bool, None, a list of these, or `Entry` by key.
    """

    line: int
    value: Any


def read_config(path: Path) -> dict[str, Entry]:
    """Read a file.

    Args:
        path: A YAML file: commands as top keys, long names of options below.

    Raises:
        InvalidInputError: It cannot be read, is no YAML, or holds a key twice, an anchor, or something else than
            mappings, lists and plain values.
    """
    import yaml

    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as exc:
        raise InvalidInputError(f"the configuration {path} cannot be read: {exc.strerror}") from exc
    if len(data) > _MOST_BYTES:
        raise InvalidInputError(f"the configuration {path} has more than {_MOST_BYTES} bytes")
    try:
        for number, event in enumerate(yaml.parse(data, Loader=yaml.SafeLoader)):
            if number > _MOST_EVENTS:
                raise InvalidInputError(f"the configuration {path} has more than {_MOST_EVENTS} keys and values")
            # An alias can stand for itself, or for gigabytes.
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise InvalidInputError(f"{_at(path, event.start_mark)}: anchors and aliases are not read")
        node = yaml.compose(data, Loader=yaml.SafeLoader)
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise InvalidInputError(
                f"{_at(path, node.start_mark)}: expected commands, for example:\ningest:\n  concurrency: 8"
            )
        found = _value(path, node)
        assert isinstance(found, dict)
        return found
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        where = str(path) if mark is None else _at(path, mark)
        raise InvalidInputError(f"{where}: no YAML: {getattr(exc, 'problem', None) or exc}") from exc


def _value(path: Path, node: Any) -> Any:
    import yaml

    if not node.tag.startswith(_PLAIN_TAGS) or node.tag.startswith(_PYTHON_TAGS):
        raise InvalidInputError(f"{_at(path, node.start_mark)}: tags such as {node.tag} are not read")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Entry] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidInputError(f"{_at(path, key.start_mark)}: a key is no text")
            if key.value in found:
                raise InvalidInputError(
                    f"{_at(path, key.start_mark)}: {key.value} stands here a second time, first in line "
                    f"{found[key.value].line}"
                )
            found[key.value] = Entry(key.start_mark.line + 1, _value(path, value))
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(path, item) for item in node.value]
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except ValueError as exc:
        raise InvalidInputError(
            f"{_at(path, node.start_mark)}: YAML cannot read {node.value} ({exc}); put text in quotes"
        ) from exc
    if isinstance(value, date):
        raise InvalidInputError(f"{_at(path, node.start_mark)}: YAML reads {node.value} as a date; put text in quotes")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if not _as_people_write(node.value, value):
        raise InvalidInputError(
            f"{_at(path, node.start_mark)}: YAML reads {node.value} as {value}; write that, or put text in quotes"
        )
    # A number that stands for a name, such as a pack 1.10, must not become 1.1.
    return node.value


def _as_people_write(text: str, value: float) -> bool:
    """Return whether a number is what its digits say: not octal, sexagesimal or grouped, as in 010, 1:30 and 1_000."""
    try:
        digits = text.lstrip("+-")
        octal = digits.isdigit() and digits.startswith("0") and value != 0
        return float(text) == value and "_" not in text and not octal
    except ValueError:
        return text.lower().lstrip("+-") in (".inf", ".nan")


def _at(path: Path, mark: Any) -> str:
    return f"{path}, line {mark.line + 1}"
