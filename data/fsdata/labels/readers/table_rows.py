"""Rows of CSV, TSV, Parquet and Excel tables as texts, each with where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fsdata.labels.readers.excel_tables import Sheet, cell_text, read_sheets
from fsdata.labels.readers.text_tables import read_text_table
from fsdata.labels.record import NoteKind, OnNote, ReaderNote
from fsengine.errors import InvalidInputError

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".xlsx"})
"""Endings of the files that `read_rows` reads."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row of a table.

    Attributes:
        place: The file and the row, as a person finds it: the first line of a CSV or a sheet is row 1.
        cells: Column to text without spaces around it; an empty cell is an empty text.
        fault: Why the row cannot be used, whatever is in it; None where it can.
    """

    place: str
    cells: dict[str, str]
    fault: str | None = None


def read_rows(
    path: Path, fits: Callable[[Sequence[str]], bool] = lambda _: True, on_note: OnNote | None = None
) -> list[TableRow]:
    """Read all rows of a table; what kind of table it is, its ending says.

    Args:
        path: The table.
        fits: Says whether columns are those that are looked for. Of an Excel file with several sheets, those are read
            whose columns fit, one after the other.
        on_note: Called for each sheet that is left out.

    Raises:
        InvalidInputError: The file cannot be read, holds no header, or is a master table of results.
        MissingDependencyError: It is an Excel file, and openpyxl is not installed.
    """
    match _suffix(path):
        case ".parquet":
            return list(_parquet_rows(path))
        case ".xlsx":
            return [row for sheet in _fitting(path, fits, on_note) for row in _sheet_rows(path, sheet)]
        case _:
            table = read_text_table(path)
            _refuse_twins(path, table.names)
            return [_text_row(path, number, table.names, values) for number, values in table.rows]


def read_headers(path: Path) -> list[list[str]]:
    """Return the column names of a table, of each sheet of an Excel file.

    Raises:
        InvalidInputError: The file cannot be read, or holds no header.
        MissingDependencyError: It is an Excel file, and openpyxl is not installed.
    """
    match _suffix(path):
        case ".parquet":
            return [list(_parquet_names(path))]
        case ".xlsx":
            return [sheet.names for sheet in read_sheets(path)]
        case _:
            return [read_text_table(path).names]


def read_each(rows: Iterable[TableRow], read: Callable[[TableRow], T], on_note: OnNote | None) -> list[T]:
    """Return what each row gives.

    Args:
        rows: Rows of one table.
        read: Reads one; raises `InvalidInputError` for one that cannot be used.
        on_note: Called for each row that cannot be used, and is left out; None refuses the table for the first.

    Raises:
        InvalidInputError: A row cannot be used, and `on_note` is None, or no row can.
    """
    found: list[T] = []
    first: InvalidInputError | None = None
    for row in rows:
        try:
            if row.fault is not None:
                raise InvalidInputError(row.fault)
            with row_context(row.place):
                found.append(read(row))
        except InvalidInputError as exc:
            if on_note is None:
                raise
            on_note(ReaderNote(kind=NoteKind.BAD_ROW, text=str(exc)))
            first = first or exc
    if first is not None and not found:
        raise InvalidInputError(f"{first} (and no other row of the table can be used)") from first
    return found


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


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InvalidInputError(
            f"{path} ends in {path.suffix!r}; expected a table of {', '.join(sorted(TABLE_SUFFIXES))}"
        )
    return suffix


def _refuse_twins(place: object, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice:
        raise InvalidInputError(f"{place} has the column {', '.join(twice)} twice; rename one of them")


def _text_row(path: Path, number: int, names: list[str], values: list[str]) -> TableRow:
    place = f"{path}, row {number}"
    if len(values) == len(names):
        return TableRow(place=place, cells=_cells(names, values))
    return TableRow(
        place=place,
        cells=dict.fromkeys(filter(None, names), ""),
        fault=f"{place} has {len(values)} cells, expected {len(names)} as in the header; "
        "put texts that hold the separator into quotes",
    )


def _fitting(path: Path, fits: Callable[[Sequence[str]], bool], on_note: OnNote | None) -> list[Sheet]:
    """Return the sheets whose columns fit; the only one, whatever its columns are."""
    sheets = read_sheets(path)
    if not sheets:
        raise InvalidInputError(f"{path} is empty; expected a row with the names of the columns first")
    if len(sheets) == 1:
        return sheets
    fitting = [sheet for sheet in sheets if fits(sheet.names)]
    if not fitting:
        told = "; ".join(f"{sheet.title}: {', '.join(filter(None, sheet.names))}" for sheet in sheets)
        raise InvalidInputError(
            f"{path} has no sheet with columns of files and of labels ({told}); name the columns in the sheet's first "
            "row as `fsdata check --help` says"
        )
    for sheet in sheets:
        if sheet not in fitting and on_note is not None:
            on_note(
                ReaderNote(
                    kind=NoteKind.OTHER_SHEET,
                    text=f"{path}: sheet {sheet.title!r} was not read, its columns are "
                    f"{', '.join(filter(None, sheet.names))}",
                )
            )
    return fitting


def _sheet_rows(path: Path, sheet: Sheet) -> Iterator[TableRow]:
    _refuse_twins(f"{path}, sheet {sheet.title},", sheet.names)
    for number, values in sheet.rows:
        yield TableRow(place=f"{path}, sheet {sheet.title}, row {number}", cells=_cells(sheet.names, values))


def _parquet_names(path: Path) -> list[str]:
    """Return the columns that may hold labels: nested ones, such as embeddings, do not, and would be slow as texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fsdata.results.master_reading import holds_results

    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError, pa.ArrowException) as exc:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {exc}; write it again") from exc
    if holds_results(schema):
        raise InvalidInputError(
            f"{path} holds results of FaceStats: what it says of faces are predictions, no labels; give the labels "
            "that people gave"
        )
    names = [field.name for field in schema if not pa.types.is_nested(field.type)]
    _refuse_twins(path, names)
    return names


def _parquet_rows(path: Path) -> Iterator[TableRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = _parquet_names(path)
    try:
        table = pq.read_table(path, columns=names)
        columns = [table[name].to_pylist() for name in names]
    except (OSError, OverflowError, ValueError, pa.ArrowException) as exc:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {exc}; write it again") from exc
    for number, values in enumerate(zip(*columns, strict=True), start=1):
        yield TableRow(place=f"{path}, row {number}", cells=_cells(names, [cell_text(value) for value in values]))


def _cells(names: list[str], values: list[str]) -> dict[str, str]:
    cells = {name: value.strip() for name, value in zip(names, values, strict=False) if name}
    # A row of a sheet may end before its header does.
    return {name: cells.get(name, "") for name in names if name}
