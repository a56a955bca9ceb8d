"""Faces with labels: embeddings that `fsclient ingest` stored, joined with what a data set says of the photos.

Training reads what serving wrote, so both see the same pixels through the same encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsdata.labels.record import LabelledPhoto
from fsengine.errors import InvalidInputError

_METADATA_KEY = b"facestats"
_COLUMNS = ["source", "content_hash", "status", "faces"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFaces:
    """One face of each labelled photo.

    Attributes:
        embeddings: float32 (N, D), L2-normalized.
        records: What is known of each photo.
        content_hashes: Hash of each photo's bytes, so that copies are never on two sides of a split.
        encoder_id: What the embeddings mean; empty where the table does not say.
        left_out: Photos that have labels and no face here, by reason.
    """

    embeddings: NDArray[np.float32]
    records: Sequence[LabelledPhoto]
    content_hashes: Sequence[str]
    encoder_id: str
    left_out: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if not len(self.embeddings) == len(self.records) == len(self.content_hashes):
            raise ValueError("embeddings, records and hashes differ in number")

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
        )


def join_results(results: Path, records: Sequence[LabelledPhoto]) -> TrainingFaces:
    """Join labels with the largest face of each photo in a folder of results; copies of a photo count once.

    Args:
        results: Folder that `fsclient ingest --out` wrote.
        records: Labels; photos are found by their path.

    Raises:
        InvalidInputError: The folder holds no parts, or parts of different encoders, or none of the photos.
    """
    paths = sorted(results.glob("part-*.parquet"))
    if not paths:
        raise InvalidInputError(f"{results} holds no parts; expected a folder written by `fsclient ingest --out`")
    encoder_ids = set()
    rows: dict[str, dict[str, Any]] = {}
    for path in paths:
        encoder_ids.add(_encoder_id(path))
        rows.update({row["source"]: row for row in _read(path, _COLUMNS).to_pylist()})
    if len(encoder_ids) > 1:
        raise InvalidInputError(f"{results} holds embeddings of {len(encoder_ids)} encoders; ingest with one of them")
    left_out: Counter[str] = Counter()
    found: dict[str, list[tuple[LabelledPhoto, Any]]] = {}
    for record in records:
        row = rows.get(str(record.path))
        if row is None:
            left_out["not in the results"] += 1
        elif not row["faces"]:
            left_out[f"no face ({row['status']})"] += 1
        else:
            embedding = max(row["faces"], key=_area)["embedding"]
            found.setdefault(row["content_hash"], []).append((record, embedding))
    kept: list[tuple[LabelledPhoto, str, Any]] = []
    for content_hash, copies in found.items():
        if len({_labels(record) for record, _ in copies}) > 1:
            left_out["copies with different labels"] += len(copies)
            continue
        kept.append((copies[0][0], content_hash, copies[0][1]))
        if len(copies) > 1:
            left_out["copies"] += len(copies) - 1
    if not kept:
        raise InvalidInputError(
            f"none of {len(records)} labelled photos has a face in {results} ({dict(left_out)}); ingest the labelled "
            "photos themselves: paths must be the same"
        )
    return TrainingFaces(
        embeddings=np.array([embedding for _, _, embedding in kept], np.float32),
        records=[record for record, _, _ in kept],
        content_hashes=[content_hash for _, content_hash, _ in kept],
        encoder_id=encoder_ids.pop(),
        left_out=left_out,
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
    table = _read(path, None)
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


def _labels(record: LabelledPhoto) -> tuple[object, ...]:
    return record.gender, record.age_low_years, record.age_high_years, record.ethnicity, record.rating


def _area(face: dict[str, Any]) -> float:
    x0, y0, x1, y1 = face["box"]
    return float((x1 - x0) * (y1 - y0))


def _encoder_id(path: Path) -> str:
    """Return what a part says of its encoder."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        found = json.loads(metadata[_METADATA_KEY])["served"].get("encoder_id", "")
    except (OSError, pa.ArrowException, KeyError, ValueError) as exc:
        raise InvalidInputError(f"{path} was not written by `fsclient ingest`: {exc}") from exc
    if not found:
        raise InvalidInputError(
            f"{path} was written by an earlier version, which did not note the encoder; ingest the photos again"
        )
    return str(found)


def _read(path: Path, columns: list[str] | None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as exc:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {exc}") from exc
