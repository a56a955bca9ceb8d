"""One expression over the columns of faces, as `--where` takes it: looked at before it is run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fsengine.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "2GB"
"""Of a query; one that needs more is refused."""

EXAMPLE = "gender = 'female' AND age_years BETWEEN 20 AND 40"

_MOST_CHARACTERS = 10_000
_BEFORE = "SELECT (\n"
_AFTER = "\n)"
_NOT_ALLOWED = {
    "SUBQUERY": "a query within it",
    "WINDOW": "a window function",
    "STAR": "a star",
    "LAMBDA": "a lambda",
    "PARAMETER": "a parameter",
}


@dataclass(frozen=True, slots=True)
class Where:
    """An expression that may be run.

    Attributes:
        text: It, as it was given.
        columns: Names of the columns that it reads, in their own spelling.
    """

    text: str
    columns: tuple[str, ...]


def connect() -> DuckDBPyConnection:
    """Return a database in memory that reads no file, loads no extension, and whose settings cannot be changed.

    Raises:
        MissingDependencyError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as exc:
        raise MissingDependencyError("DuckDB is missing: pip install 'facestats[analysis]'") from exc
    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "memory_limit": MEMORY_LIMIT,
        "threads": "2",
        "lock_configuration": "true",
    }
    return duckdb.connect(":memory:", config=config)


def parse_where(text: str, known: Sequence[str], connection: DuckDBPyConnection) -> Where:
    """Check an expression.

    Args:
        text: One expression in DuckDB's SQL, true for the faces that are wanted.
        known: Names of the columns that there are.
        connection: A database; see `connect`.

    Raises:
        InvalidInputError: It is more or something else than one expression over these columns.
    """
    if len(text) > _MOST_CHARACTERS:
        raise InvalidInputError(f"the expression has {len(text)} characters, expected {_MOST_CHARACTERS} at most")
    if not text.strip() or "\0" in text:
        raise InvalidInputError(f"the expression is empty; expected one such as {EXAMPLE}")
    ((answer,),) = connection.execute("SELECT json_serialize_sql(?)", [f"{_BEFORE}{text}{_AFTER}"]).fetchall()
    found = json.loads(answer)
    if found.get("error", True):
        raise InvalidInputError(
            f"{_quoted(text)} is no expression: {_told(found, text)}; expected one such as {EXAMPLE}"
        )
    expression = _only_expression(found["statements"])
    if expression is None:
        raise InvalidInputError(f"{_quoted(text)} is more than one expression; expected one such as {EXAMPLE}")
    names: dict[str, None] = {}
    spelled = {name.lower(): name for name in known}
    for node in _nodes(expression):
        kind = node.get("class")
        if kind in _NOT_ALLOWED:
            raise InvalidInputError(f"{_quoted(text)} holds {_NOT_ALLOWED[kind]}; expected one such as {EXAMPLE}")
        if kind == "COLUMN_REF":
            name = str(node["column_names"][0])
            if name.lower() not in spelled:
                raise InvalidInputError(f"{_quoted(text)} names {name}, {_there_is(name, known)}")
            names[spelled[name.lower()]] = None
    return Where(text, tuple(names))


def _only_expression(statements: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the one thing that is selected; None where the parenthesis around it was left, or there is more."""
    node = statements[0]["node"] if len(statements) == 1 else {}
    selected: list[dict[str, Any]] = node.get("select_list", [])
    alone = (
        node.get("type") == "SELECT_NODE"
        and len(selected) == 1
        and node.get("from_table", {}).get("type") == "EMPTY"
        and not any(node.get(part) for part in ("modifiers", "where_clause", "group_expressions", "having", "qualify"))
        and not (node.get("cte_map") or {}).get("map")
        and not node.get("sample")
        and not selected[0].get("alias")
    )
    return selected[0] if alone else None


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a parsed expression."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _told(found: dict[str, Any], text: str) -> str:
    """Return what the parser says, with a place in what the user wrote."""
    message = str(found.get("error_message", "it cannot be parsed")).partition("\n")[0]
    try:
        place = int(found["position"]) - len(_BEFORE)
    except (KeyError, ValueError):
        return message
    return f"{message}, character {place + 1}" if 0 <= place < len(text) else "it ends too early, or a quote is open"


def _there_is(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"which is no column of faces{hint or ';'} there are: {', '.join(known)}; text stands in single quotes"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "...")
