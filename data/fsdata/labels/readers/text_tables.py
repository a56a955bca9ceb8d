"""CSV and TSV as spreadsheets and other programs write them: encodings, separators, ends of lines."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import InvalidInputError

_DELIMITERS = ",;\t|"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""What Excel writes and reads before a table, to say what separates its cells."""

_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table in text form.

    Attributes:
        names: Its columns.
        rows: Line number in the file, from 1, and the cells of each row that is not blank.
    """

    names: list[str]
    rows: list[tuple[int, list[str]]]


def read_text_table(path: Path) -> TextTable:
    """Read a table in UTF-8, UTF-16 or UTF-32 whose cells are separated by comma, semicolon, tab or bar.

    Raises:
        InvalidInputError: It cannot be read, has no header, or quotes are left open.
    """
    lines = io.StringIO(read_text(path), newline="")
    try:
        header, number, delimiter = _header(path, lines)
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        return TextTable(names=names, rows=list(_rows(lines, number, delimiter)))
    except csv.Error as exc:
        raise InvalidInputError(f"{path} is no table: {exc}; check its quotes") from exc


def read_text(path: Path) -> str:
    """Read a text in UTF-8, or in what the mark at its start says.

    Raises:
        InvalidInputError: It cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InvalidInputError(f"{path} cannot be read: {exc.strerror or exc}; check the path") from exc
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:
        raise InvalidInputError(
            f"{path} holds zero bytes: it is UTF-16 without its mark at the start, or no text; save it as UTF-8"
        )
    try:
        return data.decode(encoding or "utf-8")
    except UnicodeDecodeError as exc:
        wanted = "UTF-8" if encoding in (None, "utf-8-sig") else f"{encoding.upper()}, as its first bytes say"
        raise InvalidInputError(f"{path} is not {wanted} ({exc.reason} at byte {exc.start}); save it as UTF-8") from exc


def _header(path: Path, lines: Iterator[str]) -> tuple[str, int, str]:
    """Return the line with the names of the columns, its number, and what separates them."""
    stated: str | None = None
    for number, line in enumerate(lines, start=1):
        if stated is None and (match := _SEPARATOR_LINE.fullmatch(line)):
            stated = match[1]
        elif line.strip(f" \r\n{_DELIMITERS}"):
            plain = _QUOTED.sub("", line)
            return line, number, stated or max(_DELIMITERS, key=plain.count)
    raise InvalidInputError(f"{path} is empty; expected a line with the names of the columns first")


def _rows(lines: Iterator[str], before: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    for values in reader:
        if any(value.strip() for value in values):
            yield reader.line_num + before, values
