"""Records on disk: JSON objects that are dataclasses here, read in one place with one kind of message.

read_json       a file as a dataclass: types, unknown keys and the dataclass's own checks
parse_json      the same of a text
read_object     a file as a plain object, for programs that have no msgspec: those of the server image
write_json      a dataclass as a file, whole or not at all
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fsengine.errors import FaceStatsError
from fsengine.files.atomic import temporary_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

MakeError = Callable[[str], FaceStatsError]
"""Makes the error to raise of a text: an error's class, or a function that adds what to do."""

_WRONG_TYPE = re.compile(r"Expected (?P<expected>.*?), got (?P<found>.*?)(?: - at `\$(?P<place>.*)`)?")
_PLACE = re.compile(r"\[(?P<index>\d+)\]|\.(?P<key>[^.\[\]]+)")
_LONGEST_VALUE = 100


def read_json(path: Path, kind: type[T], error: MakeError) -> T:
    """Read a JSON file as a dataclass, or as a list or mapping of one.

    Args:
        path: The file.
        kind: What it holds.
        error: See `MakeError`; the text says the path and what is wrong.

    Raises:
        FaceStatsError: What `error` makes: the file is missing, is not JSON or nests too deep, lacks a key, has an
            unknown one, or a value is of another type or refused by its dataclass.
    """
    return convert(_read(path, error), kind, lambda text: error(f"{path} cannot be read ({text})"))


def parse_json(text: str, kind: type[T], error: MakeError) -> T:
    """Read a JSON text as a dataclass, or as a list or mapping of one; see `read_json`."""
    return convert(_parse(text, error), kind, error)


def read_object(path: Path, error: MakeError) -> Mapping[str, Any]:
    """Read a JSON file that holds an object, without msgspec.

    Raises:
        FaceStatsError: What `error` makes: the file is missing, is not JSON, nests too deep, or holds something else.
    """
    record = _read(path, error)
    if not isinstance(record, dict):
        raise error(f"{path} holds {_shown(record)}, expected an object")
    return record


def write_json(path: Path, record: DataclassInstance) -> None:
    """Write a dataclass as a JSON file, whole or not at all.

    Raises:
        OSError: It cannot be written there.
    """
    with temporary_file(path) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n")


def convert(record: Any, kind: type[T], error: MakeError) -> T:
    """Return what a JSON value holds as a dataclass, or as a list or mapping of one; see `read_json`."""
    import msgspec

    try:
        made = msgspec.convert(record, kind)
    except msgspec.ValidationError as exc:
        raise error(_explained(str(exc), record)) from exc
    except RecursionError as exc:
        raise error("it nests too deep") from exc
    _refuse_unknown(record, msgspec.to_builtins(made), error)
    return made


def _read(path: Path, error: MakeError) -> Any:
    try:
        text = path.read_text()
    except UnicodeDecodeError as exc:
        raise error(f"{path} cannot be read as JSON: {exc}") from exc
    except OSError as exc:
        raise error(f"{path} cannot be read: {exc.strerror or exc}") from exc
    return _parse(text, lambda reason: error(f"{path} cannot be read as JSON: {reason}"))


def _parse(text: str, error: MakeError) -> Any:
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise error("it nests too deep") from exc
    except ValueError as exc:
        raise error(str(exc)) from exc


def _refuse_unknown(record: Any, known: Any, error: MakeError) -> None:
    """Refuse keys that no dataclass took: msgspec leaves them out of what it makes."""
    if isinstance(record, dict):
        if unknown := sorted(record.keys() - known.keys()):
            raise error(f"unknown keys {unknown}; expected {sorted(known)}")
        for key, value in record.items():
            _refuse_unknown(value, known[key], error)
    elif isinstance(record, list):
        for value, other in zip(record, known, strict=True):
            _refuse_unknown(value, other, error)


def _explained(message: str, record: Any) -> str:
    """Return msgspec's words with the value that was found in place of its type."""
    match = _WRONG_TYPE.fullmatch(message)
    if match is None:
        return message.removesuffix(" - at `$`")
    value, expected = record, match["expected"].replace("`", "").replace(" | ", " or ")
    if not match["place"]:
        return f"{match['found'].strip('`')} stands at the top, expected {expected}"
    for step in _PLACE.finditer(match["place"]):
        inner = isinstance(value, (dict, Sequence)) and not isinstance(value, str)
        if not inner or (step["key"] is not None and step["key"] not in value):
            return message  # a place that is no path: a key of a mapping
        value = value[step["key"]] if step["key"] is not None else value[int(step["index"])]
    return f"{match['place'].removeprefix('.')} is {_shown(value)}, expected {expected}"


def _shown(value: Any) -> str:
    """Return a value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
