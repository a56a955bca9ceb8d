"""Faces of results that an expression selects, in the order of their sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
FACE_ROW = "face_row"
"""Number of a face: its place in the order of `Results.scan`, from 0, which is that of `Results.embeddings` too."""


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
        connection.register("faces", scan_numbered(results, columns))
        found = _rows_where(connection, parsed)
        return np.sort(found[FACE_ROW].to_numpy())


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

    wanted = ", ".join(quoted(name) for name in schema.names)
    condition = "" if where is None else f"WHERE (\n{where.text}\n)"
    order = ", ".join(map(quoted, _KEYS))
    with connection:
        connection.register("faces", faces)
        try:
            found = connection.sql(f"SELECT {wanted} FROM faces {condition} ORDER BY {order}")
            for batch in found.to_arrow_reader(batch_rows):
                yield pa.Table.from_batches([batch]).cast(schema).combine_chunks().to_batches()[0]
        except duckdb.Error as exc:
            if where is None and not isinstance(exc, duckdb.OutOfMemoryException):
                raise
            raise cannot_run("" if where is None else where.text, exc) from exc


def scan_numbered(
    results: Results, columns: Sequence[str], on_faces: Callable[[int], object] | None = None
) -> pa.RecordBatchReader:
    """Return faces in batches, in the order of the parts, with `FACE_ROW` behind their columns.

    Args:
        results: Whose faces.
        columns: Columns wanted.
        on_faces: Called with the number of faces after each batch of them.
    """
    schema = results.face_schema(columns).append(pa.field(FACE_ROW, pa.int64(), nullable=False))

    def numbered() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in results.scan(columns):
            rows = pa.array(np.arange(start, start + batch.num_rows))
            start += batch.num_rows
            yield pa.RecordBatch.from_arrays([*batch.columns, rows], schema=schema)
            if on_faces is not None:
                on_faces(batch.num_rows)

    return pa.RecordBatchReader.from_batches(schema, numbered())


def _rows_where(connection: DuckDBPyConnection, where: Where) -> pa.Table:
    import duckdb

    try:
        return connection.sql(f"SELECT {FACE_ROW} FROM faces WHERE (\n{where.text}\n)").to_arrow_table()
    except duckdb.Error as exc:
        raise cannot_run(where.text, exc) from exc


def cannot_run(where: str, error: Exception) -> InvalidInputError:
    """Return the error for an expression that is one and fails where it is run, from what DuckDB says."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException):
        return InvalidInputError(f"the query needs more than {MEMORY_LIMIT}; select fewer faces, or fewer columns")
    told = " ".join(str(error).partition("\n")[0].split())
    return InvalidInputError(f"{where!r} cannot be run: {told}")


def quoted(column: str) -> str:
    """Return a column's name as SQL has it."""
    return '"' + column.replace('"', '""') + '"'
