"""Labels joined with stored faces: by the path of a photo, or by what its file holds where the path is another."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsdata.labels.photo_paths import is_file
from fsdata.labels.record import LabelledPhoto
from fsdata.labels.training_faces import BY_CONTENT, BY_PATH, SEVERAL_PLACES, FacePlace, TrainingFaces
from fsdata.pictures.photo_faces import COLUMNS
from fsdata.results import Results, open_results
from fsdata.results.master_reading import MasterTable
from fsdata.results.source import source_text
from fsengine.errors import InvalidInputError, ResultsError
from fsengine.files.hashing import file_sha256
from fsengine.files.stores.store_path import AnyPath

_READERS = 8
"""Files hashed at once."""

_OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPhoto:
    """A photo of the results: its source, the hash of its bytes, its status."""

    source: str
    content_hash: str
    status: str


@dataclass(frozen=True, slots=True)
class _Face:
    """A stored face: where it is, and its embedding, float32 (D,)."""

    place: FacePlace
    embedding: NDArray[np.float32]


class FaceStore(Protocol):
    """Where faces are stored with their embeddings."""

    @property
    def place(self) -> AnyPath:
        """Return what it is called in messages."""
        ...

    @property
    def encoder_id(self) -> str:
        """Return what the embeddings mean."""
        ...

    def photos(self, sources: set[str] | None) -> Iterator[StoredPhoto]:
        """Return some photos, or all."""
        ...

    def sizes(self) -> set[int] | None:
        """Return the sizes of the photos' files in bytes; None where they are not stored."""
        ...

    def faces(self, sources: set[str]) -> Iterable[tuple[pa.RecordBatch, NDArray[np.float32]]]:
        """Return the columns `COLUMNS` and embeddings of the faces of some photos, in batches."""
        ...


def join_results(results: Path, records: Sequence[LabelledPhoto]) -> TrainingFaces:
    """Join labels with the largest face of each photo in a folder of results; copies of a photo count once.

    Args:
        results: Folder that `fsclient ingest --out` wrote.
        records: Labels. A photo is found by its path; where that is none of the sources, by the hash of its file.

    Raises:
        InvalidInputError: The folder holds no parts, a damaged one, parts of different encoders, or none of the
            photos, or a refresh of it was interrupted.
    """
    try:
        return _join(_Parts(open_results(results, mixed_sets=True)), records)
    except ResultsError as exc:
        raise InvalidInputError(str(exc)) from exc


def join_master_table(table: Path, records: Sequence[LabelledPhoto]) -> TrainingFaces:
    """Join labels with the largest face of each photo in a master table; see `join_results`.

    Raises:
        InvalidInputError: It is no master table, or holds none of the photos.
    """
    return _join(_Table(MasterTable(table)), records)


class _Parts:
    """A folder of results."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self.place = results.folder
        self.encoder_id = _encoder_id(results)

    def photos(self, sources: set[str] | None) -> Iterator[StoredPhoto]:
        for batch in self._results.scan_photos(["source", "content_hash", "status"], sources=sources):
            for row in batch.to_pylist():
                yield StoredPhoto(source=row["source"], content_hash=row["content_hash"] or "", status=row["status"])

    def sizes(self) -> set[int] | None:
        return {size for batch in self._results.scan_photos(["bytes"]) for size in batch.column(0).unique().to_pylist()}

    def faces(self, sources: set[str]) -> Iterable[tuple[pa.RecordBatch, NDArray[np.float32]]]:
        return self._results.embeddings(list(COLUMNS), sources=sources)


class _Table:
    """A master table, which holds photos with faces alone."""

    def __init__(self, table: MasterTable) -> None:
        self._table = table
        self.place = table.path
        self.encoder_id = table.encoder_id

    def photos(self, sources: set[str] | None) -> Iterator[StoredPhoto]:
        last = None
        for batch in self._table.photos():
            for source, content_hash in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if source != last and (sources is None or source in sources):
                    yield StoredPhoto(source=source, content_hash=content_hash or "", status=_OK)
                last = source

    def sizes(self) -> set[int] | None:
        return None

    def faces(self, sources: set[str]) -> Iterable[tuple[pa.RecordBatch, NDArray[np.float32]]]:
        return self._table.embeddings(list(COLUMNS), sources)


def _join(store: FaceStore, records: Sequence[LabelledPhoto]) -> TrainingFaces:
    paths = [source_text(os.fsencode(record.path)) for record in records]
    photos = {photo.source: photo for photo in store.photos(set(paths))}
    joined: Counter[str] = Counter()
    moved = _by_content(store, [r.path for r, path in zip(records, paths, strict=True) if path not in photos], joined)
    places = [photos.get(path) or moved.get(record.path) for record, path in zip(records, paths, strict=True)]
    largest = _largest_faces(store, {photo.source for photo in places if photo is not None})
    left_out: Counter[str] = Counter()
    found: dict[str, list[tuple[LabelledPhoto, _Face]]] = {}
    for record, path, photo in zip(records, paths, places, strict=True):
        if photo is None:
            left_out["not in the results"] += 1
        elif photo.source not in largest:
            left_out[f"no face ({photo.status})"] += 1
        else:
            joined[BY_PATH if photo.source == path else BY_CONTENT] += 1
            found.setdefault(photo.content_hash, []).append((record, largest[photo.source]))
    kept: list[tuple[LabelledPhoto, str, _Face]] = []
    for content_hash, copies in found.items():
        if len({_labels(record) for record, _ in copies}) > 1:
            left_out["copies with different labels"] += len(copies)
            continue
        kept.append((copies[0][0], content_hash, copies[0][1]))
        if len(copies) > 1:
            left_out["copies"] += len(copies) - 1
    if not kept:
        raise InvalidInputError(
            f"none of {len(records)} labelled photos has a face in {store.place} ({dict(left_out)}); ingest the "
            "labelled photos themselves: paths must be the same, or what the files hold"
        )
    return TrainingFaces(
        embeddings=np.array([face.embedding for _, _, face in kept], np.float32),
        records=[record for record, _, _ in kept],
        content_hashes=[content_hash for _, content_hash, _ in kept],
        encoder_id=store.encoder_id,
        left_out=left_out,
        joined=joined,
        places=[face.place for _, _, face in kept],
    )


def _by_content(store: FaceStore, paths: Sequence[Path], joined: Counter[str]) -> dict[Path, StoredPhoto]:
    """Return the stored photo with the same bytes of each file that is there; of several, the first with a face.

    Args:
        store: Where photos are looked for.
        paths: Labelled photos whose paths are no sources.
        joined: Photos that lie at several places in the store are added.
    """
    there = [path for path in dict.fromkeys(paths) if is_file(path)]
    sizes = store.sizes() if there else None
    if sizes is not None:
        there = [path for path in there if path.stat().st_size in sizes]
    if not there:
        return {}
    with ThreadPoolExecutor(_READERS) as pool:
        hashes = {path: found for path, found in zip(there, pool.map(_hash, there), strict=True) if found}
    wanted = set(hashes.values())
    stored: dict[str, list[StoredPhoto]] = {}
    for photo in store.photos(None):
        if photo.content_hash in wanted:
            stored.setdefault(photo.content_hash, []).append(photo)
    joined[SEVERAL_PLACES] += sum(len(stored.get(found, [])) > 1 for found in hashes.values())
    return {
        path: min(stored[found], key=lambda photo: (photo.status != _OK, photo.source))
        for path, found in hashes.items()
        if found in stored
    }


def _hash(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _labels(record: LabelledPhoto) -> tuple[object, ...]:
    return record.gender, record.age_low_years, record.age_high_years, record.ethnicity, record.rating


def _largest_faces(store: FaceStore, sources: set[str]) -> dict[str, _Face]:
    """Return the largest face of each photo that has any; the first of equals."""
    largest: dict[str, tuple[float, _Face]] = {}
    for batch, embeddings in store.faces(sources):
        for row, values in enumerate(batch.select(list(COLUMNS)).to_pylist()):
            place = FacePlace(**values)
            area = (place.x1 - place.x0) * (place.y1 - place.y0)
            if place.source not in largest or area > largest[place.source][0]:
                largest[place.source] = area, _Face(place, embeddings[row].copy())
    return {source: face for source, (_, face) in largest.items()}


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
