"""The sheets of an Excel file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import InvalidInputError, MissingDependencyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A sheet that is not empty.

    Attributes:
        title: Its name.
        names: Cells of the first row that is not blank.
        rows: Row number in the sheet, from 1, and the cells of each row below that is not blank.
    """

    title: str
    names: list[str]
    rows: list[tuple[int, list[str]]]


def read_sheets(path: Path) -> list[Sheet]:
    """Read all sheets of an Excel file, empty ones left out.

    Raises:
        InvalidInputError: It cannot be read.
        MissingDependencyError: openpyxl is not installed.
    """
    try:
        import openpyxl  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as exc:
        raise MissingDependencyError(
            f"openpyxl is not installed, and {path.name} is an Excel file: pip install openpyxl, or save it as CSV"
        ) from exc
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheets = [(sheet.title, list(_rows(sheet.iter_rows(values_only=True)))) for sheet in book.worksheets]
        finally:
            book.close()
    except Exception as exc:  # openpyxl lets errors of zipfile, xml and its own through
        raise InvalidInputError(f"{path} cannot be read as an Excel file: {exc}; save it again, or as CSV") from exc
    return [Sheet(title=title, names=rows[0][1], rows=rows[1:]) for title, rows in sheets if rows]


def cell_text(value: object) -> str:
    """Return a cell of Excel or Parquet as text; whole numbers of a float column without their `.0`."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    return str(value).strip()


def _rows(values: Iterator[tuple[object, ...]]) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(values, start=1):
        texts = [cell_text(value) for value in row]
        if any(texts):
            yield number, texts
