"""Describe a folder of results to people."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.master_table import TableInfo

_SHOWN_ROWS = 8
_EXCERPT = ("x0", "y0", "x1", "y1", "score", "gender", "age_years", "ethnicity", "attractiveness_percentile")


def info_text(info: TableInfo) -> str:
    """Return what a folder of results holds, as text."""
    models = info.info.models
    lines = [
        f"photos    {info.statuses.total()} in {info.num_parts} parts: "
        + ", ".join(f"{count} {status}" for status, count in info.statuses.most_common()),
        f"models    {models.pack}, {models.model_set_id}, {models.preprocessing_id}, by {info.info.runtime}",
    ]
    if models.marks_text:
        lines.append(f"marks     {models.marks_text}")
    lines += [f"labels    {head}: {', '.join(names)}" for head, names in sorted(models.labels.items())]
    if info.table is None:
        return "\n".join([*lines, "table     not built since the last part: fsclient table build DIR"])
    schema = pq.read_schema(info.table)
    lines += [f"faces     {info.num_faces} rows in {info.table}", "columns"]
    lines += [f"  {field.name:28}{_type_text(field.type)}" for field in schema]
    lines += ["first rows", *_excerpt(info)]
    lines.append(f"read it   duckdb.sql(\"select * from '{info.table}'\"), polars.read_parquet, pandas.read_parquet")
    return "\n".join(lines)


def _type_text(dtype: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(dtype):
        return f"{dtype.value_type}[{dtype.list_size}]"
    return str(dtype)


def _excerpt(info: TableInfo) -> list[str]:
    """Return the first faces as aligned text."""
    file = pq.ParquetFile(info.table)
    names = [name for name in _EXCERPT if name in file.schema_arrow.names]
    batch = next(file.iter_batches(_SHOWN_ROWS, columns=["source", *names]), None)
    if batch is None:
        return ["  (none)"]
    rows = [[os.path.basename(row["source"]), *(_cell(row[name]) for name in names)] for row in batch.to_pylist()]
    rows.insert(0, ["photo", *names])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [f"  {line.rstrip()}" for line in lines]


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
