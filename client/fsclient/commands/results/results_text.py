"""Describe a folder of results to people."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fsdata.compaction.pruning import GonePhotos
from fsdata.results import Results
from fsdata.results.master_table import PHOTOS_FILE, TABLE_FILE, MasterTable, TableInfo
from fsdata.results.parts import PARTS_PATTERN
from fsdata.results.status import SCORED
from fsengine.files.stores.store_path import AnyPath
from fsengine.terminal.messages import counted, printable
from fsengine.terminal.tables import Block, Table

_EXCERPT = ("x0", "y0", "x1", "y1", "score", "gender", "age_years", "ethnicity", "attractiveness_percentile")
_SCORED = frozenset(status.value for status in SCORED)


def info_blocks(info: TableInfo) -> list[Block]:
    """Return what a folder of results holds: text and tables."""
    models = info.info.models
    blocks: list[Block] = [
        f"photos    {info.statuses.total()} in {counted(info.num_parts, 'part')}: "
        + ", ".join(f"{count} {status}" for status, count in info.statuses.most_common())
    ]
    if failed := sum(count for status, count in info.statuses.items() if status not in _SCORED):
        blocks.append(f"          {counted(failed, 'photo')} not scored: table info {info.folder} --failures")
    if info.num_copies:
        blocks.append(f"          {_copies_text(info.num_copies)}")
    blocks.append(f"models    {models.pack}, {models.model_set_id}, {models.preprocessing_id}, by {info.info.runtime}")
    if models.marks_text:
        blocks.append(f"marks     {models.marks_text}")
    if not info.embeddings:
        blocks.append("embedding none stored (--no-embedding)")
    blocks += [f"labels    {head}: {', '.join(names)}" for head, names in sorted(models.labels.items())]
    if info.table is None:
        return [*blocks, f"table     not built since the last part: fsclient table build {info.folder}"]
    blocks += [f"faces     {counted(info.table.num_faces, 'row')} in {info.folder / TABLE_FILE}", "columns"]
    blocks.append(
        Table(rows=[(field.name, _type_text(field.type)) for field in info.table.schema], align="ll", indent=2)
    )
    return [*blocks, "first rows", _excerpt(info.table), "read it", *_reading(info.folder)]


def failure_blocks(results: Results, limit: int | None) -> list[Block]:
    """Return the photos that are neither ok nor without a face: status, size, path and reason.

    Args:
        results: The folder.
        limit: The most to show; None for all.
    """
    rows: list[list[str]] = []
    num_failed = 0
    for row in _failures(results):
        num_failed += 1
        if limit is None or len(rows) < limit:
            pixels = "" if row["width"] is None else f"{row['width']} x {row['height']} px"
            # A file that could not be found has no size.
            size = "" if row["bytes"] < 0 else counted(row["bytes"], "byte")
            texts = (row["status"], size, pixels, row["source"], row["reason"] or "")
            rows.append([printable(text) for text in texts])
    if not num_failed:
        return [f"every photo is ok or has no face ({counted(results.num_photos, 'photo')})"]
    blocks: list[Block] = [f"{counted(num_failed, 'photo')} of {results.num_photos:,} not scored"]
    if rows:
        header = ["status", "bytes", "pixels", "photo", "reason"]
        blocks.append(Table(header=header, rows=rows, align="lrlll", indent=2))
    if len(rows) < num_failed:
        blocks.append(f"  and {num_failed - len(rows):,} more")
    return blocks


def gone_text(gone: GonePhotos, dry_run: bool) -> str:
    """Return what a pruning dropped, or would drop: counts and the first photos."""
    elsewhere = []
    if gone.num_elsewhere:
        lie = "photo lies" if gone.num_elsewhere == 1 else "photos lie"
        elsewhere.append(f"{gone.num_elsewhere:,} {lie} in stores or on the web, which are not asked")
    if not gone.num_gone:
        here = counted(gone.num_photos - gone.num_elsewhere, "photo")
        return "\n".join([f"nothing to drop: the files of all {here} are there", *elsewhere])
    statuses = ", ".join(f"{count} {status}" for status, count in gone.statuses.most_common())
    done = "would be dropped, their files are gone" if dry_run else "dropped, their files are gone"
    lines = [f"{gone.num_gone:,} of {counted(gone.num_photos, 'photo')} {done}: {statuses}"]
    lines += [f"  {printable(source)}" for source in gone.first]
    if gone.num_gone > len(gone.first):
        lines.append(f"  and {gone.num_gone - len(gone.first):,} more")
    if dry_run and gone.all_gone:
        lines.append("no file is there any more, as if a disk were not mounted: it takes --all to drop them")
    lines += elsewhere
    return "\n".join(lines)


def _failures(results: Results) -> Iterator[dict[str, Any]]:
    """Return the rows of photos that are neither ok nor without a face."""
    for batch in results.scan_photos(["status", "bytes", "width", "height", "source", "reason"]):
        failed = pc.invert(pc.is_in(batch["status"], pa.array(sorted(_SCORED))))
        yield from batch.filter(failed).to_pylist()


def _copies_text(number: int) -> str:
    return f"{counted(number, 'photo')} {'is a copy of another' if number == 1 else 'are copies of others'}"


def _reading(folder: AnyPath) -> list[Block]:
    """Return what each file holds, and how libraries read faces and parts: expressions of Python to copy."""
    faces, parts = folder / TABLE_FILE, folder / PARTS_PATTERN
    what = [
        (str(faces), "a row per face"),
        (str(folder / PHOTOS_FILE), "a row per photo: status, reason, size, number of faces"),
        (str(parts), "a row per photo, its faces nested"),
    ]
    # DuckDB and Polars take every path for a pattern; the other two read a whole folder, and leave `_table` out.
    escaped = Path(glob.escape(str(folder)))
    lines = []
    for pattern, path in ((escaped / TABLE_FILE, faces), (escaped / parts.name, folder)):
        sql_text = str(pattern).replace("'", "''")
        query = f"select * from '{sql_text}'"
        lines += [
            f"duckdb.sql({_literal(query)})",
            f"polars.read_parquet({_literal(pattern)})",
            f"pandas.read_parquet({_literal(path)})",
            f"pyarrow.parquet.read_table({_literal(path)})",
        ]
    return [Table(rows=what, align="ll", indent=2), *(f"  {line}" for line in lines)]


def _literal(text: object) -> str:
    """Return a text as Python writes it between double quotes."""
    return json.dumps(str(text), ensure_ascii=False)


def _type_text(dtype: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(dtype):
        return f"{dtype.value_type}[{dtype.list_size}]"
    return str(dtype)


def _excerpt(table: MasterTable) -> Block:
    """Return the first faces."""
    if not table.first_faces:
        return "  (none)"
    names = [name for name in _EXCERPT if name in table.first_faces[0]]
    rows = [
        [printable(os.path.basename(row["source"])), *(_cell(row[name]) for name in names)] for row in table.first_faces
    ]
    return Table(header=["photo", *names], rows=rows, align="l" * (1 + len(names)), indent=2)


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
