"""Photos in a column of Parquet files: bytes, or structs with a field `bytes` as Hugging Face's datasets write them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fsclient.photos.entry import InsideEntry, PhotoEntry
from fsclient.photos.finding.container import container_source, opened_container
from fsclient.photos.finding.seen import SeenTexts
from fsclient.photos.finding.tally import Tally
from fsclient.photos.source_rules import SourceRules
from fsdata.results.source import inside_text
from fsengine.errors import InvalidInputError, StoreError, StoreUnavailableError
from fsengine.files.stores.object_state import ObjectState

_IDS_AT_A_TIME = 1024
_CELLS_AT_A_TIME = 1
"""A cell may hold a gigabyte; more at a time are read no faster than 30 microseconds a photo."""

_LONGEST_ID = 4096
_NO_ID = "row of a table without an id"
_LONG_ID = f"row of a table with an id of more than {_LONGEST_ID} characters"
_SECOND = "second row of an id in a table"
_STRUCT_FIELD = "bytes"

_DAMAGE = (OSError, ValueError, KeyError, StoreError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class CellEntry(InsideEntry):
    """A photo in a row of a table, whose bytes are read with those of its neighbours; see `with_bytes`.

    Attributes:
        table: The table, as a path or a URL.
        column: Of photos.
        group: Its row group, from 0.
        row: Its row there, from 0.
    """

    table: bytes | str = b""
    column: str = ""
    group: int = 0
    row: int = 0


def photos_of_table(table: bytes | str, rules: SourceRules, tally: Tally) -> Iterator[CellEntry]:
    """Yield the photos of a table, in their order, without their bytes.

    A damaged table is noted.

    Args:
        table: Path, or URL.
        rules: Which column holds photos, and which one names them.
        tally: Counts the rows that are left out.

    Raises:
        InvalidInputError: It has no such column, or one that holds no photos.
        StoreUnavailableError: It lies in a store that cannot be had.
    """
    source = container_source(table)
    assert rules.column is not None
    try:
        with _Table(table) as opened:
            opened.check(source, rules.column, rules.id_column)
            names = SeenTexts()
            first = 0
            for group in range(opened.file.num_row_groups):
                size = opened.num_rows(group, rules.column)
                ids = opened.values(group, rules.id_column) if rules.id_column else range(first, first + size)
                for row, name in enumerate(ids):
                    if (why := _why_skip(name, names if rules.id_column else None)) is not None:
                        tally.skipped_files[why] += 1
                        continue
                    yield CellEntry(
                        source=inside_text(source, str(name)),
                        container=opened.state,
                        table=table,
                        column=rules.column,
                        group=group,
                        row=row,
                    )
                first += size
    except (InvalidInputError, StoreUnavailableError):
        raise
    except _DAMAGE as exc:
        tally.note_unreadable(source, f"the table cannot be read (to its end): {_words(exc)}")


def _why_skip(name: str | int | None, names: SeenTexts | None) -> str | None:
    """Return why a row is left out, in words; None where it is taken."""
    if name is None:
        return _NO_ID
    if names is None:
        return None
    text = str(name)
    if len(text) > _LONGEST_ID:
        return _LONG_ID
    return None if names.add(text.encode()) else _SECOND


def with_bytes(entries: Iterable[PhotoEntry]) -> Iterator[PhotoEntry]:
    """Return entries in their order, those of tables with their bytes, which are read row group by row group."""
    for place, run in groupby(entries, key=lambda e: (e.table, e.group) if isinstance(e, CellEntry) else None):
        if place is None:
            yield from run
            continue
        cells = (cell for cell in run if isinstance(cell, CellEntry))
        cell = next(cells, None)
        while cell is not None:
            cell = yield from _read_on(cell, cells)


def _read_on(cell: CellEntry, cells: Iterator[CellEntry]) -> Generator[PhotoEntry, None, CellEntry | None]:
    """Yield cells of one row group with their bytes, and return the first one that lies before those."""
    row = -1
    with closing(_cell_bytes(cell)) as found:
        while True:
            wanted = cell.row
            try:
                while row < wanted:
                    data = next(found)
                    row += 1
            except StoreError as exc:
                problem = f"cannot be read: {exc}"
                is_unavailable = isinstance(exc, StoreUnavailableError)
                break
            yield _filled(cell, data)
            following = next(cells, None)
            if following is None or following.row <= row:
                return following
            cell = following
    yield replace(cell, problem=problem, is_unavailable=is_unavailable)
    for following in cells:
        if following.row < wanted:
            return following
        yield replace(following, problem=problem, is_unavailable=is_unavailable)
    return None


def _cell_bytes(cell: CellEntry) -> Generator[bytes | None, None, None]:
    """Yield the photos of a cell's row group, and say at their end why there are no more.

    Raises:
        StoreError: In any case; a `StoreUnavailableError` where its store cannot be had.
    """
    try:
        with _Table(cell.table) as opened:
            if opened.state.version != cell.container.version:
                raise StoreError("its table was changed since")
            yield from opened.photos(cell.group, cell.column)
    except StoreUnavailableError:
        raise
    except _DAMAGE as exc:
        raise StoreError(_words(exc)) from exc
    raise StoreError("its table ends before it does")


def _filled(cell: CellEntry, data: bytes | None) -> InsideEntry:
    if data is None:
        return InsideEntry(cell.source, cell.container, problem="the cell of its row is empty")
    return InsideEntry(cell.source, cell.container, num_bytes=len(data), data=data)


class _Table:
    """A Parquet file that is open."""

    def __init__(self, table: bytes | str) -> None:
        self._table = table
        self._stack = ExitStack()
        self.state: ObjectState

    def __enter__(self) -> _Table:
        self.state, self._raw = opened_container(self._table)
        self._stack.enter_context(self._raw)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def file(self) -> Any:
        return self._stack.enter_context(pq.ParquetFile(self._raw, pre_buffer=False, buffer_size=1 << 20))

    def check(self, source: str, column: str, id_column: str | None) -> None:
        """Refuse a table without the columns, or whose column holds no photos."""
        schema = self.file.schema_arrow
        for name in (column, *([id_column] if id_column else [])):
            if (number := schema.names.count(name)) != 1:
                listed = ", ".join(schema.names[:20]) or "none"
                has = f"{number} columns" if number else "no column"
                raise InvalidInputError(f"{source} has {has} {name!r}; expected one of {listed}")
        dtype = schema.field(column).type
        if _is_struct_of_bytes(dtype):
            dtype = dtype.field(_STRUCT_FIELD).type
        dtype = _value_type(dtype)
        if not (pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype)):
            hint = "; a list of paths or URLs goes through --from-file" if _is_text(dtype) else ""
            raise InvalidInputError(
                f"{source} holds {schema.field(column).type} in {column!r}, expected the bytes of photos, or structs "
                f"with a field 'bytes'{hint}"
            )
        if id_column:
            kind = _value_type(schema.field(id_column).type)
            if not (pa.types.is_integer(kind) or _is_text(kind)):
                raise InvalidInputError(f"{source} holds {kind} in {id_column!r}, expected text or whole numbers")

    def num_rows(self, group: int, column: str) -> int:
        """Return the rows of a row group, once both places where they are said agree.

        Raises:
            StoreError: They do not.
        """
        metadata = self.file.metadata.row_group(group)
        path = self._path(column)
        chunks = (metadata.column(number) for number in range(metadata.num_columns))
        said = {chunk.num_values for chunk in chunks if chunk.path_in_schema == path}
        if said != {metadata.num_rows}:
            raise StoreError(f"its row group {group} is said to have {metadata.num_rows:,} rows, and others")
        num_rows: int = metadata.num_rows
        return num_rows

    def values(self, group: int, column: str) -> Iterator[Any]:
        """Yield what a column holds in a row group."""
        for batch in self._batches(group, column, _IDS_AT_A_TIME):
            yield from batch.to_pylist()

    def photos(self, group: int, column: str) -> Iterator[bytes | None]:
        """Yield the photos of a row group, None where a cell is empty."""
        for batch in self._batches(group, column, _CELLS_AT_A_TIME):
            # Flattened, a field is null where its struct is.
            found = batch.flatten()[0] if pa.types.is_struct(batch.type) else batch
            for value in found:
                yield value.as_py()

    def _batches(self, group: int, column: str, size: int) -> Iterator[Any]:
        for batch in self.file.iter_batches(size, row_groups=[group], columns=[self._path(column)], use_threads=False):
            yield batch.column(column)

    def _path(self, column: str) -> str:
        """Return how Parquet calls the part of a column that is read."""
        is_struct = _is_struct_of_bytes(self.file.schema_arrow.field(column).type)
        return f"{column}.{_STRUCT_FIELD}" if is_struct else column


def _is_struct_of_bytes(dtype: Any) -> bool:
    return bool(pa.types.is_struct(dtype) and dtype.get_field_index(_STRUCT_FIELD) >= 0)


def _value_type(dtype: Any) -> Any:
    return dtype.value_type if pa.types.is_dictionary(dtype) else dtype


def _is_text(dtype: Any) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype))


def _words(exc: BaseException) -> str:
    return getattr(exc, "strerror", None) or " ".join(str(exc).split())[:200] or type(exc).__name__
