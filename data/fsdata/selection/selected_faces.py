"""Faces of results that an expression selects, in the order of their sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsdata.results.reading import BATCH_ROWS, Results
from fsdata.selection.where import MEMORY_LIMIT, Where, connect, parse_where
from fsengine.errors import InvalidInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KEYS = ("source", "face_index")
_ROW = "face_row"


def select_faces(results: Results, where: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the faces that an expression selects; see `scan_selected`.

    Returns:
        A row per face, sorted by source and face_index.
    """
    schema = results.face_schema(columns)
    return pa.Table.from_batches(scan_selected(results, where, columns), schema=schema)


def selected_rows(results: Results, where: str) -> NDArray[np.int64]:
    """Return which faces an expression selects, by their numbers in the order of `Results.scan`, from 0.

    Raises:
        InvalidInputError: It is no expression, or cannot be run.
        MissingDependencyError: DuckDB is not installed.
        ResultsError: A part is damaged.
    """
    with connect() as connection:
        parsed = parse_where(where, results.face_schema().names, connection)
        columns = list(parsed.columns) or [results.face_schema().names[0]]
        schema = results.face_schema(columns).append(pa.field(_ROW, pa.int64()))
        connection.register("faces", pa.RecordBatchReader.from_batches(schema, _numbered(results, columns, schema)))
        found = _rows_where(connection, parsed)
        return np.sort(found[_ROW].to_numpy())


def scan_selected(
    results: Results,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Return the faces that an expression selects in batches, sorted by source and face_index.

    Sorting holds the columns asked for in memory, of the faces that are selected; nothing else is.

    Args:
        results: Where the faces are.
        where: One expression in DuckDB's SQL over the columns of `Results.faces`; faces for which it is neither false
            nor NULL are selected. None for all faces.
        columns: Columns wanted, in the order wanted; None for all.
        batch_rows: Rows of every batch but the last.

    Raises:
        InvalidInputError: It is no such expression, there is no such column, or the query needs more than 2 GB.
        MissingDependencyError: DuckDB is not installed.
        ResultsError: A part is damaged.
    """
    schema = results.face_schema(columns)
    known = results.face_schema().names
    connection = connect()
    parsed = None if where is None else parse_where(where, known, connection)
    needed = list(dict.fromkeys([*schema.names, *_KEYS, *(parsed.columns if parsed else ())]))
    faces = pa.RecordBatchReader.from_batches(results.face_schema(needed), results.scan(needed, batch_rows=BATCH_ROWS))
    return _run(connection, faces, schema, parsed, batch_rows)


def _run(
    connection: DuckDBPyConnection,
    faces: pa.RecordBatchReader,
    schema: pa.Schema,
    where: Where | None,
    batch_rows: int,
) -> Iterator[pa.RecordBatch]:
    import duckdb

    wanted = ", ".join(_named(name) for name in schema.names)
    condition = "" if where is None else f"WHERE (\n{where.text}\n)"
    order = ", ".join(map(_named, _KEYS))
    with connection:
        connection.register("faces", faces)
        try:
            found = connection.sql(f"SELECT {wanted} FROM faces {condition} ORDER BY {order}")
            for batch in found.to_arrow_reader(batch_rows):
                yield pa.Table.from_batches([batch]).cast(schema).combine_chunks().to_batches()[0]
        except duckdb.Error as exc:
            if where is None and not isinstance(exc, duckdb.OutOfMemoryException):
                raise
            raise _cannot_run(where or Where("", ()), exc) from exc


def _numbered(results: Results, columns: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield faces with their numbers."""
    start = 0
    for batch in results.scan(columns):
        rows = pa.array(np.arange(start, start + batch.num_rows))
        start += batch.num_rows
        yield pa.RecordBatch.from_arrays([*batch.columns, rows], schema=schema)


def _rows_where(connection: DuckDBPyConnection, where: Where) -> pa.Table:
    import duckdb

    try:
        return connection.sql(f"SELECT {_ROW} FROM faces WHERE (\n{where.text}\n)").to_arrow_table()
    except duckdb.Error as exc:
        raise _cannot_run(where, exc) from exc


def _cannot_run(where: Where, error: Exception) -> InvalidInputError:
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException):
        return InvalidInputError(f"the query needs more than {MEMORY_LIMIT}; select fewer faces, or fewer columns")
    return InvalidInputError(f"{where.text!r} cannot be run: {str(error).partition(chr(10))[0]}")


def _named(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
