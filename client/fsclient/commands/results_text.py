"""Describe a folder of results to people."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.master_table import TableInfo
from fsengine.terminal.messages import counted
from fsengine.terminal.tables import Block, Table

_SHOWN_ROWS = 8
_EXCERPT = ("x0", "y0", "x1", "y1", "score", "gender", "age_years", "ethnicity", "attractiveness_percentile")


def info_blocks(info: TableInfo) -> list[Block]:
    """Return what a folder of results holds: text and tables."""
    models = info.info.models
    blocks: list[Block] = [
        f"photos    {info.statuses.total()} in {counted(info.num_parts, 'part')}: "
        + ", ".join(f"{count} {status}" for status, count in info.statuses.most_common()),
        f"models    {models.pack}, {models.model_set_id}, {models.preprocessing_id}, by {info.info.runtime}",
    ]
    if models.marks_text:
        blocks.append(f"marks     {models.marks_text}")
    blocks += [f"labels    {head}: {', '.join(names)}" for head, names in sorted(models.labels.items())]
    if info.table is None:
        return [*blocks, "table     not built since the last part: fsclient table build DIR"]
    schema = pq.read_schema(info.table)
    blocks += [f"faces     {counted(info.num_faces, 'row')} in {info.table}", "columns"]
    blocks.append(Table(rows=[(field.name, _type_text(field.type)) for field in schema], align="ll", indent=2))
    blocks += ["first rows", _excerpt(info)]
    blocks.append(f"read it   duckdb.sql(\"select * from '{info.table}'\"), polars.read_parquet, pandas.read_parquet")
    return blocks


def _type_text(dtype: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(dtype):
        return f"{dtype.value_type}[{dtype.list_size}]"
    return str(dtype)


def _excerpt(info: TableInfo) -> Block:
    """Return the first faces."""
    file = pq.ParquetFile(info.table)
    names = [name for name in _EXCERPT if name in file.schema_arrow.names]
    batch = next(file.iter_batches(_SHOWN_ROWS, columns=["source", *names]), None)
    if batch is None:
        return "  (none)"
    rows = [[os.path.basename(row["source"]), *(_cell(row[name]) for name in names)] for row in batch.to_pylist()]
    return Table(header=["photo", *names], rows=rows, align="l" * (1 + len(names)), indent=2)


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
