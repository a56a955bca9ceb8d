"""The faces and photos of results in a database in memory, for queries that a page waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsdata.results.reading import Results
from fsdata.results.schema import EMBEDDING_COLUMN
from fsdata.selection.selected_faces import FACE_ROW, cannot_run, quoted, scan_numbered
from fsdata.selection.where import MEMORY_LIMIT, connect, parse_where
from fsengine.contracts.served import ETHNICITY, GENDER
from fsengine.errors import InvalidInputError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Rows = NDArray[np.int64]

HEAD_CLASSES = (GENDER, ETHNICITY)
_MANY_WORDS = ("source", "content_hash")
_PHOTO_COLUMNS = ("source", "status", "reason", "width", "height", "bytes", "num_faces")


class FaceTable:
    """Faces without their embeddings, a row each, and photos; read once, never written.

    Several threads may use one table.

    Attributes:
        num_faces: Faces.
        num_photos: Photos.
        schema: Columns that queries may name.
    """

    def __init__(self, results: Results, on_face: Callable[[int], object] | None = None) -> None:
        """Read results into memory: some 250 bytes a face.

        Args:
            results: What to read.
            on_face: Called with the number of faces after each batch of them.

        Raises:
            InvalidInputError: There are more faces than memory is allowed for.
            MissingDependencyError: DuckDB is not installed.
            ResultsError: A part is damaged.
        """
        import duckdb

        whole = results.face_schema()
        names = [name for name in whole.names if name != EMBEDDING_COLUMN]
        self.schema = pa.schema([whole.field(name) for name in names])
        self._database = connect()
        self._lock = threading.Lock()
        photos = results.photo_schema(_PHOTO_COLUMNS)
        try:
            self._load("faces", scan_numbered(results, names, on_face))
            self._load("photos", pa.RecordBatchReader.from_batches(photos, results.scan_photos(_PHOTO_COLUMNS)))
        except duckdb.OutOfMemoryException as exc:
            raise InvalidInputError(
                f"the table of these faces needs more than {MEMORY_LIMIT} of memory; look at a part of them: "
                "`fsclient table export --where SQL`, or `fsclient report`"
            ) from exc
        self.num_faces = self._count("faces")
        self.num_photos = self._count("photos")

    def close(self) -> None:
        """Give the memory back."""
        self._database.close()

    def find(self, where: str | None, order: str | None = None, *, descending: bool = True) -> Rows:
        """Return the numbers of the faces that an expression selects.

        Args:
            where: One expression over the columns of faces; None for all.
            order: Column to sort by, missing values last; None for the order of the parts.
            descending: Whether the largest comes first.

        Raises:
            InvalidInputError: It is no expression, or cannot be run.
        """
        if order is not None:
            self._check(order)
        with self._cursor() as cursor:
            condition = "" if where is None else f"WHERE (\n{parse_where(where, self.schema.names, cursor).text}\n)"
            way = "DESC" if descending else "ASC"
            sorting = f"{FACE_ROW}" if order is None else f"{quoted(order)} {way} NULLS LAST, {FACE_ROW}"
            found = _run(cursor, f"SELECT {FACE_ROW} FROM faces {condition} ORDER BY {sorting}", where)
            rows: Rows = found[FACE_ROW].to_numpy()
            return rows

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> pa.Table:
        """Return faces by their numbers, in the order given.

        Args:
            rows: Numbers of faces; those that are none are left out.
            columns: Columns wanted; None for all.
        """
        names = [self._check(name) for name in (self.schema.names if columns is None else columns)]
        wanted = pa.table({FACE_ROW: pa.array(rows, pa.int64()), "place": pa.array(np.arange(len(rows)))})
        listed = ", ".join(f"f.{quoted(name)}" for name in names)
        with self._cursor() as cursor:
            cursor.register("wanted", wanted)
            return _run(cursor, f"SELECT {listed} FROM wanted w JOIN faces f USING ({FACE_ROW}) ORDER BY w.place", None)

    def values(self, column: str) -> pa.ChunkedArray:
        """Return one column of all faces, in the order of their numbers."""
        with self._cursor() as cursor:
            found = _run(cursor, f"SELECT {quoted(self._check(column))} AS v FROM faces ORDER BY {FACE_ROW}", None)
            return found["v"]

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run a query of the dashboard's own over `faces` and `photos`; no text of a user may be in it."""
        with self._cursor() as cursor:
            return cursor.sql(sql, params=list(parameters)).to_arrow_table()

    def numbers(self) -> list[str]:
        """Return the columns that hold a number a face."""
        return [field.name for field in self.schema if _is_number(field.type)]

    def classes(self) -> list[str]:
        """Return the columns that hold one of a few words, or a truth, a face; those of heads first."""
        kinds = (pa.types.is_string, pa.types.is_boolean)
        names = [
            field.name
            for field in self.schema
            if any(is_kind(field.type) for is_kind in kinds) and field.name not in _MANY_WORDS
        ]
        return sorted(names, key=lambda name: (name not in HEAD_CLASSES, names.index(name)))

    def _load(self, name: str, given: pa.RecordBatchReader) -> None:
        with self._database.cursor() as cursor:
            cursor.register("given", given)
            cursor.execute(f"CREATE TABLE {name} AS SELECT * FROM given")

    def _count(self, name: str) -> int:
        ((number,),) = self._database.execute(f"SELECT count(*) FROM {name}").fetchall()
        return int(number)

    def _cursor(self) -> DuckDBPyConnection:
        with self._lock:
            return self._database.cursor()

    def _check(self, column: str) -> str:
        if column not in self.schema.names:
            raise InvalidInputError(f"faces have no column {column!r}; expected one of {', '.join(self.schema.names)}")
        return column


def _run(cursor: DuckDBPyConnection, sql: str, where: str | None) -> pa.Table:
    """Run a query; what DuckDB says of a user's expression becomes an `InvalidInputError`."""
    import duckdb

    try:
        return cursor.sql(sql).to_arrow_table()
    except duckdb.Error as exc:
        if where is None and not isinstance(exc, duckdb.OutOfMemoryException):
            raise
        raise cannot_run(where or "", exc) from exc


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def as_floats(values: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return a column of numbers as float32 (N,), what is missing as NaN."""
    found: NDArray[np.float32] = pc.cast(values, pa.float32()).fill_null(float("nan")).to_numpy()
    return found
