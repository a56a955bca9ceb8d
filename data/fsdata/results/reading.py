"""Read a folder of results: its photos, its faces, and the embeddings of them, as Arrow tables or in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsdata.results.flat_faces import FlatFaces, matrix_of
from fsdata.results.latest import LatestPhotos
from fsdata.results.part_reading import PartFile, open_part
from fsdata.results.parts import part_paths
from fsdata.results.schema import (
    COLUMNS,
    EMBEDDING_COLUMN,
    FACE_COLUMNS,
    FACES,
    PartInfo,
    holds_embeddings,
    no_embeddings,
)
from fsdata.results.staging import refuse_interrupted
from fsengine.errors import InvalidInputError, ResultsError
from fsengine.files.stores.store_path import AnyPath, StorePath, any_path

BATCH_ROWS = 16384

NUM_FACES = "num_faces"
"""Column of photos that parts do not hold: the number of their faces."""

_PHOTO_COLUMNS = (*(name for name in COLUMNS if name != FACES), NUM_FACES)
_NUM_FACES_FIELD = pa.field(NUM_FACES, pa.int32(), nullable=False)
_COUNTED = f"{FACES}.list.element.{FACE_COLUMNS['face_score']}"
"""What faces are counted by: the smallest column that has a value for each."""


def open_results(folder: AnyPath | str, *, mixed_sets: bool = False) -> Results:
    """Open a folder of results for reading.

    Args:
        folder: What `fsclient ingest --out` wrote: a path, or a URL of a store.
        mixed_sets: Whether parts of different model sets may lie together; `Results.infos` says what they are.

    Raises:
        InvalidInputError: The folder holds no parts.
        ResultsError: A part cannot be read, parts of different model sets lie together, or a refresh is under way
            or was interrupted.
    """
    folder = any_path(folder) if isinstance(folder, str) else folder
    refuse_interrupted(folder)
    paths = part_paths(folder) if folder.is_dir() else []
    if not paths:
        raise InvalidInputError(f"{folder} holds no parts; expected a folder written by `fsclient ingest --out`")
    infos: list[PartInfo] = []
    for path in paths:
        with open_part(path) as part:
            if not infos or infos[-1] != part.info:
                infos.append(part.info)
    sets = sorted({info.models.model_set_id for info in infos})
    if len(sets) > 1 and not mixed_sets:
        raise ResultsError(f"{folder} holds parts of {len(sets)} model sets ({', '.join(sets)}); keep them apart")
    return Results(folder, paths, infos)


class Results:
    """The parts of a folder as they were when it was opened.

    Of a photo that was done more than once, the latest row counts. Parts that are added later are not seen; a part
    that is changed later is refused with a `ResultsError`. Every method that reads raises `ResultsError` for a
    damaged part. `scan`, `scan_photos` and `embeddings` hold a batch, a row group and a byte for each photo in
    memory, however large the folder is.

    Attributes:
        folder: The folder.
        paths: Its parts, oldest first.
        infos: What they were made with, each that differs from the one before it.
    """

    def __init__(self, folder: AnyPath, paths: Sequence[AnyPath], infos: Sequence[PartInfo]) -> None:
        """Hold what `open_results` found."""
        self.folder = folder
        self.paths = tuple(paths)
        self.infos = tuple(infos)

    @property
    def on_disk(self) -> Path:
        """Return the folder.

        Raises:
            InvalidInputError: It lies in a store.
        """
        if isinstance(self.folder, StorePath):
            raise InvalidInputError(
                f"{self.folder} lies in a store, and this needs the results on a disk: copy the folder there first"
            )
        return self.folder

    @property
    def info(self) -> PartInfo:
        """Return what the parts were made with; the latest, where `infos` has several."""
        return self.infos[-1]

    @property
    def labels(self) -> Mapping[str, Sequence[str]]:
        """Return the class labels of each head, in the order of its probabilities."""
        return self.info.models.labels

    @property
    def num_photos(self) -> int:
        """Return the number of photos."""
        return self._latest.num_photos

    def statuses(self) -> Counter[str]:
        """Return the number of photos of each status."""
        found: Counter[str] = Counter()
        for _, table in self._latest.tables(["status"]):
            for count in pc.value_counts(table["status"]):
                found[count["values"].as_py()] += count["counts"].as_py()
        return found

    def photos(self) -> pa.Table:
        """Return a row per photo: every column of the parts but its faces, which are counted."""
        return pa.Table.from_batches(self.scan_photos(), schema=self.photo_schema())

    def faces(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a row per face; see `scan`."""
        schema = self.face_schema(columns)
        return pa.Table.from_batches(self.scan(columns), schema=schema)

    def scan_photos(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch_rows: int = BATCH_ROWS,
        sources: Iterable[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Return photos in batches, in the order of the parts.

        Args:
            columns: Columns of photos, see `fsdata.results.schema.PHOTO_FIELDS`, and `num_faces`; None for all.
            batch_rows: Rows of every batch but the last.
            sources: Photos to return; None for all.

        Raises:
            InvalidInputError: There is no such column.
        """
        wanted = list(_PHOTO_COLUMNS if columns is None else _checked_columns(columns))
        self.photo_schema(wanted)
        stored = [_COUNTED if name == NUM_FACES else name for name in wanted]
        tables = self._latest.tables(stored, sources=_texts(sources))
        return _batches((_with_counts(table).select(wanted) for _, table in tables), _checked_rows(batch_rows))

    def scan(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch_rows: int = BATCH_ROWS,
        sources: Iterable[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Return faces in batches, flat as in the master table, in the order of the parts.

        Args:
            columns: Columns of the master table, for example `source`, `x0`, `embedding` or `gender`, in the order
                wanted; None for all. What is not asked for is not read.
            batch_rows: Rows of every batch but the last.
            sources: Photos whose faces to return; None for all.

        Raises:
            InvalidInputError: There is no such column.
            ResultsError: Parts differ in these columns.
        """
        if columns is not None:
            columns = _checked_columns(columns)
        schema = self.face_schema(columns)
        return _batches(self._flat_tables(schema, columns, _texts(sources)), _checked_rows(batch_rows))

    def embeddings(
        self,
        columns: Sequence[str] = ("source", "face_index"),
        *,
        batch_rows: int = BATCH_ROWS,
        sources: Iterable[str] | None = None,
    ) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float32]]]:
        """Return the embeddings of faces in batches, each with what identifies its faces.

        Args:
            columns: Columns of `scan` that go with them.
            batch_rows: Faces of every batch but the last.
            sources: Photos whose faces to return; None for all.

        Returns:
            Batches of B faces: the columns asked for (B rows), and float32 (B, D), L2-normalized, read-only.

        Raises:
            InvalidInputError: There is no such column, or the results hold no embeddings.
        """
        columns = [name for name in columns if name != EMBEDDING_COLUMN]
        wanted = [*columns, EMBEDDING_COLUMN]
        if not self.has_embeddings:
            raise no_embeddings(self.folder)
        schema = self.face_schema(wanted)
        width = schema.field(EMBEDDING_COLUMN).type.list_size
        batches = _batches(self._flat_tables(schema, wanted, _texts(sources)), _checked_rows(batch_rows))
        kept = list(range(len(columns)))
        return ((batch.select(kept), matrix_of(batch.column(EMBEDDING_COLUMN), width)) for batch in batches)

    def face_schema(self, columns: Sequence[str] | None = None) -> pa.Schema:
        """Return the schema of what `scan` returns: that of the last part, which all others must have.

        Raises:
            InvalidInputError: There is no such column.
        """
        with open_part(self.paths[-1]) as part:
            return FlatFaces(part, columns).schema

    @property
    def has_embeddings(self) -> bool:
        """Return whether faces have embeddings."""
        with open_part(self.paths[-1]) as part:
            return holds_embeddings(part.schema)

    @cached_property
    def _latest(self) -> LatestPhotos:
        return LatestPhotos(self.paths)

    def photo_schema(self, columns: Sequence[str] | None = None) -> pa.Schema:
        """Return the schema of what `scan_photos` returns.

        Raises:
            InvalidInputError: There is no such column.
        """
        columns = _PHOTO_COLUMNS if columns is None else columns
        if missing := [name for name in columns if name not in _PHOTO_COLUMNS]:
            raise InvalidInputError(
                f"photos have no {', '.join(missing)}; expected some of {', '.join(_PHOTO_COLUMNS)}"
            )
        with open_part(self.paths[-1]) as part:
            fields = [_NUM_FACES_FIELD if name == NUM_FACES else part.schema.field(name) for name in columns]
            return pa.schema(fields, metadata=part.schema.metadata)

    def _flat_tables(
        self, schema: pa.Schema, columns: Sequence[str] | None, sources: pa.Array | None
    ) -> Iterator[pa.Table]:
        """Return the faces of one row group after the other."""
        with open_part(self.paths[-1]) as part:
            flat = FlatFaces(part, columns)
            known = part.schema
        for part, photos in self._latest.tables(flat.read, sources=sources):
            if all(part.info.models.model_set_id != info.models.model_set_id for info in self.infos):
                raise ResultsError(f"{part.path} was refreshed while it was read; run again")
            if not part.schema.equals(known, check_metadata=True):
                flat, known = _flat_alike(part, columns, schema), part.schema
            yield flat.of(photos)


def _flat_alike(part: PartFile, columns: Sequence[str] | None, schema: pa.Schema) -> FlatFaces:
    """Return the flat form of a part whose faces have the columns of the others.

    Raises:
        ResultsError: They have not.
    """
    try:
        flat = FlatFaces(part, columns)
    except InvalidInputError as exc:
        raise ResultsError(f"{exc}; other parts have it: keep them in different folders") from exc
    if not flat.schema.equals(schema):
        names = sorted({field.name for field in set(flat.schema) ^ set(schema)})
        raise ResultsError(
            f"{part.path} differs from other parts in the columns of faces {', '.join(names)}; "
            "keep them in different folders"
        )
    return flat


def _with_counts(photos: pa.Table) -> pa.Table:
    """Return photos with their faces counted, where faces were read."""
    if FACES not in photos.column_names:
        return photos
    counts = pc.list_value_length(photos[FACES]).cast(pa.int32())
    return photos.append_column(_NUM_FACES_FIELD, counts)


def _texts(sources: Iterable[str] | None) -> pa.Array | None:
    if isinstance(sources, str):
        raise InvalidInputError(f"sources is {sources!r}, expected a list of sources")
    try:
        return None if sources is None else pa.array(list(map(str, sources)), pa.string())
    except (TypeError, UnicodeEncodeError) as exc:
        raise InvalidInputError(f"sources cannot be used: {exc}; expected texts as in the column source") from exc


def _checked_columns(columns: Sequence[str]) -> list[str]:
    """Return names of columns, one at least."""
    if isinstance(columns, str) or not columns:
        raise InvalidInputError(f"columns is {columns!r}, expected a list of names, one or more")
    return list(columns)


def _checked_rows(batch_rows: int) -> int:
    if not isinstance(batch_rows, int) or batch_rows < 1:
        raise InvalidInputError(f"batch_rows is {batch_rows!r}, expected a whole number, 1 or more")
    return batch_rows


def _batches(tables: Iterable[pa.Table], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Return tables as batches of one size, but for the last."""
    held: list[pa.Table] = []
    num_held = 0
    for table in tables:
        held.append(table)
        num_held += table.num_rows
        while num_held >= batch_rows:
            whole = pa.concat_tables(held)
            yield _one_batch(whole.slice(0, batch_rows))
            held = [whole.slice(batch_rows)]
            num_held -= batch_rows
    if num_held:
        yield _one_batch(pa.concat_tables(held))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]
