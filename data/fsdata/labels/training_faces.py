"""Faces with labels: embeddings that `fsclient ingest` stored, joined with what a data set says of the photos.

Training reads what serving wrote, so both see the same pixels through the same encoder.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsdata.labels.record import LabelledPhoto
from fsengine.errors import InvalidInputError

BY_PATH = "by path"
BY_CONTENT = "by content"
SEVERAL_PLACES = "with copies in the results"
"""How labelled photos were found in results: a label is of the photo at its path, or of the same bytes elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FacePlace:
    """Where a face is, by the names that `fsdata.pictures.photo_faces.COLUMNS` has.

    Attributes:
        source: Its photo.
        content_hash: Of the photo.
        width: Of the upright photo, in pixels.
        height: Of the upright photo, in pixels.
        face_index: Of the face in the photo.
        x0: Left end of its box, in pixels of the upright photo.
        y0: Top of its box.
        x1: Right end of its box.
        y1: Bottom of its box.
    """

    source: str
    content_hash: str
    width: int
    height: int
    face_index: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFaces:
    """One face of each labelled photo.

    Attributes:
        embeddings: float32 (N, D), L2-normalized.
        records: What is known of each photo.
        content_hashes: Hash of each photo's bytes, so that copies are never on two sides of a split.
        encoder_id: What the embeddings mean; empty where the table does not say.
        left_out: Photos that have labels and no face here, by reason.
        joined: How photos with labels were found in results: `by path`, `by content`.
        places: Where each face is; empty of a table of embeddings.
    """

    embeddings: NDArray[np.float32]
    records: Sequence[LabelledPhoto]
    content_hashes: Sequence[str]
    encoder_id: str
    left_out: Counter[str] = field(default_factory=Counter)
    joined: Counter[str] = field(default_factory=Counter)
    places: Sequence[FacePlace] = ()

    def __post_init__(self) -> None:
        if not len(self.embeddings) == len(self.records) == len(self.content_hashes):
            raise ValueError("embeddings, records and hashes differ in number")
        if self.places and len(self.places) != len(self.records):
            raise ValueError(f"{len(self.places)} places of {len(self.records)} faces, expected one each or none")

    def take(self, rows: NDArray[np.int64], reason: str) -> TrainingFaces:
        """Return some of the faces; the others are counted as left out for a reason."""
        left_out = Counter(self.left_out)
        if len(self.records) - len(rows):
            left_out[reason] += len(self.records) - len(rows)
        return TrainingFaces(
            embeddings=self.embeddings[rows],
            records=[self.records[row] for row in rows],
            content_hashes=[self.content_hashes[row] for row in rows],
            encoder_id=self.encoder_id,
            left_out=left_out,
            joined=self.joined,
            places=[self.places[row] for row in rows] if self.places else (),
        )


def read_embedding_table(path: Path, records: Sequence[LabelledPhoto], encoder_id: str) -> TrainingFaces:
    """Read embeddings that lie in a table beside their labels, row by row.

    Args:
        path: Parquet with a column `embedding`.
        records: The table's labels, a record a row, in its order.
        encoder_id: What the embeddings mean, as the user says; may be empty.

    Raises:
        InvalidInputError: There is no such column, or its rows are no vectors of one width.
    """
    table = _read(path)
    if "embedding" not in table.column_names or table.num_rows != len(records):
        raise InvalidInputError(
            f"{path} has columns {', '.join(table.column_names)} and {table.num_rows} rows; expected a column "
            f"embedding and {len(records)} rows"
        )
    try:
        embeddings = np.array(table["embedding"].to_pylist(), np.float32)
    except ValueError as exc:
        raise InvalidInputError(f"{path}: embeddings are not all of one width: {exc}") from exc
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True) if embeddings.ndim == 2 else np.zeros((1, 1))
    if not np.isfinite(embeddings).all() or not (norms > 0).all():
        raise InvalidInputError(f"{path}: column embedding holds rows that are no vectors of finite numbers")
    return TrainingFaces(
        embeddings=embeddings / norms,
        records=records,
        content_hashes=[hashlib.sha256(row.tobytes()).hexdigest() for row in embeddings],
        encoder_id=encoder_id,
    )


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as exc:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {exc}") from exc
