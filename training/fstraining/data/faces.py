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
from fsdata.results import Results, open_results
from fsdata.results.flat_faces import BOX_COLUMNS
from fsengine.errors import InvalidInputError, ResultsError


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
        InvalidInputError: The folder holds no parts, a damaged one, parts of different encoders, or none of the
            photos, or a refresh of it was interrupted.
    """
    try:
        return _join(open_results(results, mixed_sets=True), records)
    except ResultsError as exc:
        raise InvalidInputError(str(exc)) from exc


def _join(results: Results, records: Sequence[LabelledPhoto]) -> TrainingFaces:
    """Join labels with results; see `join_results`."""
    encoder_id = _encoder_id(results)
    labelled = {str(record.path) for record in records}
    photos = {
        row["source"]: (row["content_hash"], row["status"])
        for batch in results.scan_photos(["source", "content_hash", "status"], sources=labelled)
        for row in batch.to_pylist()
    }
    embeddings = _largest_faces(results, labelled)
    left_out: Counter[str] = Counter()
    found: dict[str, list[tuple[LabelledPhoto, NDArray[np.float32]]]] = {}
    for record in records:
        source = str(record.path)
        if source not in photos:
            left_out["not in the results"] += 1
            continue
        content_hash, status = photos[source]
        if source not in embeddings:
            left_out[f"no face ({status})"] += 1
        else:
            found.setdefault(content_hash, []).append((record, embeddings[source]))
    kept: list[tuple[LabelledPhoto, str, NDArray[np.float32]]] = []
    for content_hash, copies in found.items():
        if len({_labels(record) for record, _ in copies}) > 1:
            left_out["copies with different labels"] += len(copies)
            continue
        kept.append((copies[0][0], content_hash, copies[0][1]))
        if len(copies) > 1:
            left_out["copies"] += len(copies) - 1
    if not kept:
        raise InvalidInputError(
            f"none of {len(records)} labelled photos has a face in {results.folder} ({dict(left_out)}); ingest the "
            "labelled photos themselves: paths must be the same"
        )
    return TrainingFaces(
        embeddings=np.array([embedding for _, _, embedding in kept], np.float32),
        records=[record for record, _, _ in kept],
        content_hashes=[content_hash for _, content_hash, _ in kept],
        encoder_id=encoder_id,
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


def _labels(record: LabelledPhoto) -> tuple[object, ...]:
    return record.gender, record.age_low_years, record.age_high_years, record.ethnicity, record.rating


def _largest_faces(results: Results, sources: set[str]) -> dict[str, NDArray[np.float32]]:
    """Return the embedding of the largest face of each photo that has any; the first of equals."""
    largest: dict[str, tuple[float, NDArray[np.float32]]] = {}
    for batch, embeddings in results.embeddings(["source", *BOX_COLUMNS], sources=sources):
        x0, y0, x1, y1 = (batch.column(name).to_numpy().astype(np.float64) for name in BOX_COLUMNS)
        areas = (x1 - x0) * (y1 - y0)
        for row, source in enumerate(batch.column("source").to_pylist()):
            if source not in largest or areas[row] > largest[source][0]:
                largest[source] = float(areas[row]), embeddings[row].copy()
    return {source: embedding for source, (_, embedding) in largest.items()}


def _encoder_id(results: Results) -> str:
    """Return what all parts say of their encoder."""
    encoder_ids = {info.models.encoder_id for info in results.infos}
    if "" in encoder_ids:
        raise InvalidInputError(
            f"{results.folder} holds parts of an earlier version, which did not note the encoder; ingest the photos "
            "again"
        )
    if len(encoder_ids) > 1:
        raise InvalidInputError(
            f"{results.folder} holds embeddings of {len(encoder_ids)} encoders; ingest with one of them"
        )
    return encoder_ids.pop()


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as exc:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {exc}") from exc
