"""A photo's row, and rows turned into an Arrow table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsdata.results.schema import FACE_COLUMNS, FACES
from fsdata.results.status import Status

PER_PHOTO_OUTPUTS = ("image_size", "faces_truncated", "face_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFile:
    """A photo's file as it was when it was read.

    Attributes:
        source: Its path as text, see `source_text`.
        num_bytes: Its size; the resume key with source and mtime_ns. -1 where the file could not be found.
        mtime_ns: Time of its last change in nanoseconds since 1970; -1 likewise.
        content_hash: SHA-256 in hex; None where it could not be read or was too large to be.
        etag: What the store calls this version of the object, or of the shard that holds the photo; None for a file.
    """

    source: str
    num_bytes: int
    mtime_ns: int
    content_hash: str | None
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoRow:
    """One photo's row.

    Attributes:
        photo: The file.
        status: What became of it.
        reason: Why, where it is neither `ok` nor `no_face`.
        converted: Why the decoder got another form of it than the file, for example `ICC profile`; None where it got
            the file, or nothing.
        width: Of the upright photo in pixels, where it was decoded.
        height: The same.
        faces_truncated: Whether it had more faces than the pack's limit.
        faces: Ensemble output to float32 (F, ...), one row per face; empty where there is none.
        attempts: Requests made for it.
        read_ms: Milliseconds to read and hash it, and to convert it.
        infer_ms: Milliseconds from request to answer; None where none was made.
    """

    photo: PhotoFile
    status: Status
    reason: str | None = None
    converted: str | None = None
    width: int | None = None
    height: int | None = None
    faces_truncated: bool = False
    faces: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    attempts: int = 0
    read_ms: float = 0.0
    infer_ms: float | None = None

    @property
    def num_faces(self) -> int:
        """Return the number of faces."""
        return len(self.faces["face_score"]) if self.faces else 0


def split_outputs(outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the per-face outputs of a photo without the placeholder row that stands for no face."""
    count = int(outputs["face_count"].reshape(-1)[0])
    return {name: array[:count] for name, array in outputs.items() if name not in PER_PHOTO_OUTPUTS}


def rows_table(rows: Sequence[PhotoRow], schema: pa.Schema, model_set_id: str) -> pa.Table:
    """Return rows as a table of `schema`."""
    columns: dict[str, list[Any]] = {
        "source": [row.photo.source for row in rows],
        "bytes": [row.photo.num_bytes for row in rows],
        "mtime_ns": [row.photo.mtime_ns for row in rows],
        "etag": [row.photo.etag for row in rows],
        "content_hash": [row.photo.content_hash for row in rows],
        "width": [row.width for row in rows],
        "height": [row.height for row in rows],
        "status": [row.status.value for row in rows],
        "reason": [row.reason for row in rows],
        "converted": [row.converted for row in rows],
        "faces_truncated": [row.faces_truncated for row in rows],
        "model_set_id": [model_set_id] * len(rows),
        "attempts": [row.attempts for row in rows],
        "read_ms": [row.read_ms for row in rows],
        "infer_ms": [row.infer_ms for row in rows],
    }
    arrays = [pa.array(columns[f.name], f.type) for f in schema if f.name != FACES]
    arrays.append(_faces_array(rows, schema.field(FACES).type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _faces_array(rows: Sequence[PhotoRow], dtype: pa.ListType) -> pa.ListArray:
    """Return the nested faces without a Python object per number."""
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([row.num_faces for row in rows], out=offsets[1:])
    struct = dtype.value_type
    output_of = {column: output for output, column in FACE_COLUMNS.items()}
    fields = [struct.field(i) for i in range(struct.num_fields)]
    values = []
    for column in fields:
        parts = [row.faces[output_of[column.name]].reshape(-1) for row in rows if row.num_faces]
        flat = np.concatenate(parts).astype(np.float32, copy=False) if parts else np.empty(0, np.float32)
        values.append(shaped(pa.array(flat), column.type))
    faces = pa.StructArray.from_arrays(values, fields=fields)
    return pa.ListArray.from_arrays(pa.array(offsets), faces, type=dtype)


def shaped(flat: pa.Array, dtype: pa.DataType) -> pa.Array:
    """Wrap flat numbers into (nested) fixed-size lists of `dtype`."""
    if not pa.types.is_fixed_size_list(dtype):
        return flat
    return pa.FixedSizeListArray.from_arrays(shaped(flat, dtype.value_type), type=dtype)
