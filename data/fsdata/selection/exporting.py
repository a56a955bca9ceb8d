"""Faces as files that other programs read: CSV, a line of JSON each, or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.reading import Results
from fsdata.results.schema import EMBEDDING_COLUMN
from fsdata.selection.selected_faces import scan_selected
from fsengine.errors import InvalidInputError

FORMATS = ("csv", "jsonl", "parquet")


def export_faces(
    results: Results,
    path: Path,
    form: str,
    *,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    on_faces: Callable[[int], object] | None = None,
) -> int:
    """Write the faces that an expression selects, sorted by source and face_index, and return their number.

    Numbers are written with the digits that bring the same float32 back. In CSV a list is JSON in one cell, and what is
    missing an empty cell.

    Args:
        results: Whose faces.
        path: File to write; see `fsengine.files.output_path` for writing it whole or not at all.
        form: One of `FORMATS`.
        where: See `scan_selected`; None for all faces.
        columns: Columns in the order wanted; None for all, in CSV without the embedding.
        on_faces: Called with the number of faces after each batch of them.

    Raises:
        InvalidInputError: `where` is no expression, or there is no such column, or one is named twice.
        OSError: It cannot be written.
    """
    if columns is None and form == "csv":
        columns = [name for name in results.face_schema().names if name != EMBEDDING_COLUMN]
    if columns is not None and (not all(columns) or len(set(columns)) < len(columns)):
        raise InvalidInputError(f"columns are {', '.join(map(repr, columns))}; expected names, each once")
    batches = scan_selected(results, where, columns)
    write = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[form]
    return write(path, results.face_schema(columns), _told(batches, on_faces))


def _told(batches: Iterator[pa.RecordBatch], on_faces: Callable[[int], object] | None) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        if on_faces is not None:
            on_faces(batch.num_rows)


def _write_csv(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(schema.names)
        for batch in batches:
            count += batch.num_rows
            writer.writerows(zip(*(map(_cell, _values(column)) for column in batch.columns), strict=True))
    return count


def _write_jsonl(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for batch in batches:
            count += batch.num_rows
            for row in zip(*map(_values, batch.columns), strict=True):
                face = dict(zip(schema.names, row, strict=True))
                file.write(json.dumps(face, ensure_ascii=False, allow_nan=False) + "\n")
    return count


def _write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            count += batch.num_rows
            writer.write_batch(batch)
    return count


def _values(column: pa.Array) -> list[Any]:
    """Return a column as Python values; float32 by its shortest decimals, what is no number as None."""
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        flat = _values(column.flatten())
        return [flat[start : start + size] for start in range(0, len(flat), size)]
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy(zero_copy_only=False)
        return [float(str(number)) if np.isfinite(number) else None for number in numbers]
    values: list[Any] = column.to_pylist()
    return values


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else value
