"""Faces as rows: the flat form of what parts hold nested, with the likeliest class of each head beside its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsdata.results.part_reading import PartFile
from fsdata.results.schema import FACE_COLUMNS, FACES, METADATA_KEY, PartInfo
from fsengine.contracts.served import ETHNICITY, GENDER, UNCERTAIN
from fsengine.errors import InvalidInputError, ResultsError

PHOTO_COLUMNS = ("source", "content_hash", "width", "height", "faces_truncated", "model_set_id")
"""Columns of the photo that each of its faces repeats."""

BOX_COLUMNS = ("x0", "y0", "x1", "y1")

_LABELS = {"ethnicity_probability": ETHNICITY, "gender_probability": GENDER}
_SCORE = FACE_COLUMNS["face_score"]


class FlatFaces:
    """The flat form of the faces of one part, whole or some columns of it.

    Attributes:
        schema: Of the tables that `of` returns.
        read: Paths of the columns of the part that they are made from.
    """

    def __init__(self, part: PartFile, columns: Sequence[str] | None = None) -> None:
        """Prepare.

        Args:
            part: Where the faces lie.
            columns: Flat columns, in the order wanted; None for all.

        Raises:
            InvalidInputError: There is no such column.
        """
        self._info = part.info
        self._metadata = _metadata(part)
        whole = _flatten(part.schema.empty_table(), part.info)
        if missing := [name for name in columns or () if name not in whole.column_names]:
            raise InvalidInputError(
                f"{part.path} has no {', '.join(missing)}; expected some of {', '.join(whole.column_names)}"
            )
        self._columns = whole.column_names if columns is None else list(columns)
        self.schema = whole.select(self._columns).schema.with_metadata(self._metadata)
        fields = {_field_of(name) for name in self._columns if name not in PHOTO_COLUMNS}
        photo = [name for name in PHOTO_COLUMNS if name in self._columns]
        # Faces are counted by their scores where nothing else of them is asked for.
        self.read = [*photo, *(f"{FACES}.list.element.{name}" for name in sorted(fields or {_SCORE}))]

    def of(self, photos: pa.Table) -> pa.Table:
        """Return a row per face.

        Args:
            photos: Rows of the part with the columns `read`, each in one chunk.
        """
        return _flatten(photos, self._info).select(self._columns).replace_schema_metadata(self._metadata)


def matrix_of(values: pa.Array, width: int) -> NDArray[np.float32]:
    """Return (nested) fixed-size lists of n rows as float32 (n, width)."""
    while pa.types.is_fixed_size_list(values.type):
        values = values.flatten()
    flat: NDArray[np.float32] = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(-1, width)


def _field_of(column: str) -> str:
    """Return the field of a stored face that a flat column is made from."""
    if column in BOX_COLUMNS:
        return "box"
    if column == "face_index":
        return _SCORE
    return next((field for field, label in _LABELS.items() if label == column), column)


def _flatten(photos: pa.Table, info: PartInfo) -> pa.Table:
    """Return a row per face of photos of which some columns were read."""
    faces = photos.column(FACES).combine_chunks()
    counts = pc.list_value_length(faces).to_numpy(zero_copy_only=False).astype(np.int64)
    parent = pa.array(np.repeat(np.arange(len(counts)), counts))
    first = np.repeat(np.cumsum(counts) - counts, counts)
    columns: dict[str, pa.Array] = {
        name: photos.column(name).take(parent) for name in PHOTO_COLUMNS if name in photos.column_names
    }
    columns["face_index"] = pa.array(np.arange(len(first)) - first, pa.int32())
    struct = faces.flatten()
    for position, field in enumerate(struct.type):
        values = struct.field(position)
        if field.name == "box":
            box = matrix_of(values, 4)
            columns |= {name: pa.array(box[:, i]) for i, name in enumerate(BOX_COLUMNS)}
        elif field.name == "landmarks":
            columns["landmarks"] = pa.FixedSizeListArray.from_arrays(pa.array(matrix_of(values, 10).reshape(-1)), 10)
        else:
            columns[field.name] = values
        if label := _LABELS.get(field.name):
            columns[label] = _labels(values, info, label)
    return pa.table(columns)


def _labels(probabilities: pa.Array, info: PartInfo, head: str) -> pa.Array:
    """Return the likeliest class of each face, `uncertain` where the head abstains."""
    names = info.models.labels.get(head, [])
    matrix = matrix_of(probabilities, probabilities.type.list_size)
    if len(names) != matrix.shape[1]:
        raise ResultsError(
            f"the parts hold {matrix.shape[1]} probabilities of {head} and state {len(names)} labels for them; "
            "bring back a copy of them, or ingest into another --out"
        )
    if not len(matrix):
        return pa.array([], pa.string())
    # In float64, in which an answer's numbers are compared: 0.7 in float32 is less than 0.7.
    unsure = matrix.max(axis=1).astype(np.float64) < info.models.thresholds.get(head, 0.0)
    return pa.array([*names, UNCERTAIN], pa.string()).take(
        pa.array(np.where(unsure, len(names), matrix.argmax(axis=1)))
    )


def _metadata(part: PartFile) -> dict[bytes, str]:
    """Return what flat faces say of their models."""
    served = json.loads(part.schema.metadata[METADATA_KEY])["served"]
    return {METADATA_KEY: json.dumps({"served": served})}
