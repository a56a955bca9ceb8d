"""Rows of CSV, TSV, Parquet and Excel tables as texts, each with where it stands."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import InvalidInputError, MissingDependencyError

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".xlsx"})
"""Endings of the files that `read_rows` reads."""

_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row of a table.

    Attributes:
        place: The file and the row, as a person finds it: the header of a CSV or a sheet is row 1.
        cells: Column to text without spaces around it; an empty cell is an empty text.
    """

    place: str
    cells: dict[str, str]


def read_rows(path: Path) -> list[TableRow]:
    """Read all rows of a table; what kind of table it is, its ending says.

    Of an Excel file all sheets are read, one after the other.

    Raises:
        InvalidInputError: The file cannot be read, or holds no header.
        MissingDependencyError: It is an Excel file, and openpyxl is not installed.
    """
    match path.suffix.lower():
        case ".parquet":
            return list(_parquet_rows(path))
        case ".xlsx":
            return list(_excel_rows(path))
        case ".csv" | ".tsv" | ".txt":
            with _explained(path), path.open(newline="", encoding="utf-8-sig") as file:
                return list(_text_rows(path, file.readline(), file))
        case _:
            raise InvalidInputError(
                f"{path} ends in {path.suffix!r}; expected a table of {', '.join(sorted(TABLE_SUFFIXES))}"
            )


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV or TSV.

    Raises:
        InvalidInputError: The file cannot be read, or holds no header.
    """
    with _explained(path), path.open(newline="", encoding="utf-8-sig") as file:
        return _header(path, file.readline())[0]


@contextmanager
def row_context(place: str) -> Iterator[None]:
    """Put a row's place before the message of an error in it."""
    try:
        yield
    except InvalidInputError as exc:
        raise InvalidInputError(f"{place}: {exc}") from exc


def require_columns(path: Path, rows: list[TableRow], names: Iterable[str]) -> None:
    """Check that a table has rows, and that each of them has certain columns.

    Raises:
        InvalidInputError: It has not.
    """
    names = list(names)
    if not rows:
        raise InvalidInputError(f"{path} has a header and no rows; expected a row per label")
    for row in rows:
        missing = [name for name in names if name not in row.cells]
        if missing:
            raise InvalidInputError(
                f"{row.place} has the columns {', '.join(row.cells)}, and not {', '.join(missing)}; "
                "rename its columns, or give another kind of data set"
            )


def _header(path: Path, line: str) -> tuple[list[str], str]:
    delimiter = max(_DELIMITERS, key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    if not any(names):
        raise InvalidInputError(f"{path} is empty; expected a line with the names of the columns first")
    _refuse_twins(path, names)
    return names, delimiter


def _refuse_twins(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice:
        raise InvalidInputError(f"{path} has the column {', '.join(twice)} twice; rename one of them")


def _text_rows(path: Path, header: str, lines: Iterable[str]) -> Iterator[TableRow]:
    names, delimiter = _header(path, header)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    for values in reader:
        if not any(value.strip() for value in values):
            continue
        place = f"{path}, row {reader.line_num + 1}"
        if len(values) != len(names):
            raise InvalidInputError(
                f"{place} has {len(values)} cells, expected {len(names)} as in the header; "
                "put texts that hold the separator into quotes"
            )
        yield TableRow(place=place, cells=_cells(names, values))


def _parquet_rows(path: Path) -> Iterator[TableRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Nested columns, such as embeddings, hold no labels and would be slow as texts.
        schema = pq.read_schema(path)
        names = [field.name for field in schema if not pa.types.is_nested(field.type)]
        _refuse_twins(path, names)
        table = pq.read_table(path, columns=names)
        columns = [table[name].to_pylist() for name in names]
    except (OSError, OverflowError, ValueError, pa.ArrowException) as exc:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {exc}; write it again") from exc
    for number, values in enumerate(zip(*columns, strict=True), start=1):
        yield TableRow(place=f"{path}, row {number}", cells=_cells(names, [_text(value) for value in values]))


def _excel_rows(path: Path) -> Iterator[TableRow]:
    try:
        import openpyxl  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as exc:
        raise MissingDependencyError(
            f"openpyxl is not installed, and {path.name} is an Excel file: pip install openpyxl, or save it as CSV"
        ) from exc
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as exc:  # openpyxl lets errors of zipfile, xml and its own through
        raise InvalidInputError(f"{path} cannot be read as an Excel file: {exc}; save it again, or as CSV") from exc
    for sheet in book.worksheets:
        rows = sheet.iter_rows(values_only=True)
        names = [_text(value) for value in next(rows, ())]
        for number, values in enumerate(rows, start=2):
            texts = [_text(value) for value in values]
            if any(texts):
                yield TableRow(place=f"{path}, sheet {sheet.title}, row {number}", cells=_cells(names, texts))


def _cells(names: list[str], values: list[str]) -> dict[str, str]:
    return {name: value.strip() for name, value in zip(names, values, strict=False) if name}


def _text(value: object) -> str:
    """Return a cell as text; whole numbers of a float column without their `.0`."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    return str(value).strip()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise InvalidInputError(f"{path} cannot be read: {exc.strerror or exc}; check the path") from exc
    except UnicodeDecodeError as exc:
        raise InvalidInputError(f"{path} is not UTF-8 ({exc.reason} at byte {exc.start}); save it as UTF-8") from exc
    except csv.Error as exc:
        raise InvalidInputError(f"{path} is no table: {exc}; check its quotes") from exc
