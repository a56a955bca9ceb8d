"""The master table: a row per face, flat, built from the parts.

DuckDB, Polars and pandas read it as it is. Where a photo was done more than once, its latest row counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.parts import results_file
from fsdata.results.reading import open_results
from fsdata.results.schema import PartInfo

TABLE_FILE = Path("_table") / "faces.parquet"
"""Below a folder of parts; readers of a whole folder (pyarrow, Spark) leave names with an underscore out."""

ROW_GROUP_SIZE = 32768
"""Large enough for engines that read row groups in parallel; 67 MB of 512-d embeddings, held several times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInfo:
    """What a folder of results holds.

    Attributes:
        statuses: Photos by status, each photo counted once.
        num_parts: Parts.
        info: What the parts were made with.
        table: The master table; None where it was not built or is older than a part.
        num_faces: Rows of the master table.
    """

    statuses: Counter[str]
    num_parts: int
    info: PartInfo
    table: Path | None
    num_faces: int


def build_table(folder: Path) -> Path:
    """Build the master table of a folder of parts, whole or not at all, and return its path.

    Raises:
        InvalidInputError: The folder holds no parts.
        ResultsError: A part cannot be read, parts of different model sets lie together, or a refresh was interrupted.
    """
    results = open_results(folder)
    target = folder / TABLE_FILE
    target.parent.mkdir(exist_ok=True)
    with results_file(target) as file, _writer(file, results.face_schema()) as writer:
        for batch in results.scan(batch_rows=ROW_GROUP_SIZE):
            writer.write_batch(batch, ROW_GROUP_SIZE)
    return target


def describe(folder: Path) -> TableInfo:
    """Describe a folder of results; see `TableInfo` and, for errors, `build_table`."""
    results = open_results(folder)
    table: Path | None = folder / TABLE_FILE
    assert table is not None
    if not table.is_file() or any(path.stat().st_mtime_ns > table.stat().st_mtime_ns for path in results.paths):
        table = None
    return TableInfo(
        statuses=results.statuses(),
        num_parts=len(results.paths),
        info=results.info,
        table=table,
        num_faces=pq.read_metadata(table).num_rows if table else 0,
    )


def _writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    """Return a writer without dictionary or statistics on number lists, where they cost and help nobody."""
    plain = [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]
    strings = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=strings, write_statistics=plain)
