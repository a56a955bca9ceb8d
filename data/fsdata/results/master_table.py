"""The master table: a row per face, flat, built from the parts.

DuckDB, Polars and pandas read it as it is. Where a photo was done more than once, its latest row counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsdata.results.parts import open_part, part_paths, results_file
from fsdata.results.schema import FACES, METADATA_KEY, PartInfo, read_info
from fsdata.results.staging import refuse_interrupted
from fsengine.contracts.served import ETHNICITY, GENDER
from fsengine.errors import InvalidInputError, ResultsError

TABLE_FILE = Path("_table") / "faces.parquet"
"""Below a folder of parts; readers of a whole folder (pyarrow, Spark) leave names with an underscore out."""

PHOTO_COLUMNS = ("source", "content_hash", "width", "height", "faces_truncated", "model_set_id")
"""Columns of the photo that each of its faces repeats."""

_LABELS = {"ethnicity_probability": ETHNICITY, "gender_probability": GENDER}


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
    paths, info = _parts(folder)
    latest = _latest_rows(paths)
    target = folder / TABLE_FILE
    target.parent.mkdir(exist_ok=True)
    with results_file(target) as file:
        writer: pq.ParquetWriter | None = None
        for path, keep in zip(paths, latest, strict=True):
            for table in _face_tables(path, keep, info):
                if writer is None:
                    writer = _writer(file, table.schema)
                if table.num_rows:
                    writer.write_table(table)
        assert writer is not None
        writer.close()
    return target


def describe(folder: Path) -> TableInfo:
    """Describe a folder of results; see `TableInfo` and, for errors, `build_table`."""
    paths, info = _parts(folder)
    statuses: Counter[str] = Counter()
    for path, keep in zip(paths, _latest_rows(paths), strict=True):
        with open_part(path) as file:
            column = file.read(["status"]).column("status").take(pa.array(keep))
        statuses.update(column.to_pylist())
    table: Path | None = folder / TABLE_FILE
    assert table is not None
    if not table.is_file() or any(path.stat().st_mtime_ns > table.stat().st_mtime_ns for path in paths):
        table = None
    num_faces = pq.read_metadata(table).num_rows if table else 0
    return TableInfo(statuses=statuses, num_parts=len(paths), info=info, table=table, num_faces=num_faces)


def _parts(folder: Path) -> tuple[list[Path], PartInfo]:
    """Return the parts of a folder, which all come from one model set, and what they were made with."""
    refuse_interrupted(folder)
    paths = part_paths(folder) if folder.is_dir() else []
    if not paths:
        raise InvalidInputError(f"{folder} holds no parts; expected a folder written by `fsclient ingest --out`")
    infos = []
    for path in paths:
        with open_part(path) as file:
            infos.append(read_info(file.schema_arrow, str(path)))
    sets = sorted({info.models.model_set_id for info in infos})
    if len(sets) > 1:
        raise ResultsError(f"{folder} holds parts of {len(sets)} model sets ({', '.join(sets)}); keep them apart")
    return paths, infos[-1]


def _latest_rows(paths: list[Path]) -> list[list[int]]:
    """Return, for each part, the rows that no later row of the same source replaces."""
    latest: dict[str, tuple[int, int]] = {}
    for part, path in enumerate(paths):
        with open_part(path) as file:
            sources = file.read(["source"]).column("source").to_pylist()
        latest.update((source, (part, row)) for row, source in enumerate(sources))
    rows: list[list[int]] = [[] for _ in paths]
    for part, row in latest.values():
        rows[part].append(row)
    return [sorted(numbers) for numbers in rows]


def _face_tables(path: Path, keep: list[int], info: PartInfo) -> Iterator[pa.Table]:
    """Return the faces of the kept rows of a part, a table for each of its row groups."""
    wanted = np.asarray(keep, np.int64)
    with open_part(path) as file:
        if read_info(file.schema_arrow, str(path)).models.model_set_id != info.models.model_set_id:
            raise ResultsError(f"{path} was refreshed while the table was built; build it again")
        start = 0
        for group in range(file.num_row_groups):
            photos = file.read_row_group(group, columns=[*PHOTO_COLUMNS, FACES])
            here = wanted[(wanted >= start) & (wanted < start + photos.num_rows)] - start
            start += photos.num_rows
            yield _flatten(photos.take(pa.array(here)).combine_chunks(), info)


def _flatten(photos: pa.Table, info: PartInfo) -> pa.Table:
    """Return a row per face."""
    faces = photos.column(FACES).combine_chunks()
    counts = pc.list_value_length(faces).to_numpy(zero_copy_only=False).astype(np.int64)
    parent = pa.array(np.repeat(np.arange(len(counts)), counts))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    columns: dict[str, pa.Array] = {name: photos.column(name).take(parent) for name in PHOTO_COLUMNS}
    columns["face_index"] = pa.array(np.arange(len(first)) - first, pa.int32())
    struct = faces.flatten()
    for position, field in enumerate(struct.type):
        values = struct.field(position)
        if field.name == "box":
            box = _matrix(values)
            columns |= {name: pa.array(box[:, i]) for i, name in enumerate(("x0", "y0", "x1", "y1"))}
        elif field.name == "landmarks":
            columns["landmarks"] = pa.FixedSizeListArray.from_arrays(pa.array(_matrix(values).reshape(-1)), 10)
        else:
            columns[field.name] = values
        if label := _LABELS.get(field.name):
            names = info.models.labels[label]
            matrix = _matrix(values)
            best = matrix.argmax(axis=1) if len(values) else np.empty(0, np.int64)
            unsure = matrix.max(axis=1, initial=0) < info.models.thresholds.get(label, 0.0) if len(values) else None
            columns[label] = pa.array(names, pa.string()).take(pa.array(best, mask=unsure))
    table = pa.table(columns)
    record = {"served": photos.schema.metadata and json.loads(photos.schema.metadata[METADATA_KEY])["served"]}
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(record)})


def _matrix(values: pa.Array) -> NDArray[np.float32]:
    """Return (nested) fixed-size lists of n rows as float32 (n, numbers in a row)."""
    num_rows = len(values)
    while pa.types.is_fixed_size_list(values.type):
        values = values.flatten()
    flat: NDArray[np.float32] = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(num_rows, -1) if num_rows else flat.reshape(0, 4)


def _writer(file: object, schema: pa.Schema) -> pq.ParquetWriter:
    """Return a writer without dictionary or statistics on number lists, where they cost and help nobody."""
    plain = [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]
    strings = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=strings, write_statistics=plain)
