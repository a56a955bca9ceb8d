"""Read a master table that lies anywhere: its photos, and the embeddings of its faces, in batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsdata.results.flat_faces import PHOTO_COLUMNS, matrix_of
from fsdata.results.schema import EMBEDDING_COLUMN, METADATA_KEY, no_embeddings
from fsengine.errors import InvalidInputError

_BATCH_ROWS = 16384


def holds_results(schema: pa.Schema) -> bool:
    """Return whether a Parquet file was written by `fsclient`: a part, or a master table."""
    return METADATA_KEY in (schema.metadata or {})


class MasterTable:
    """A master table, read batch by batch.

    Attributes:
        path: Its path.
        encoder_id: What its embeddings mean.
    """

    def __init__(self, path: Path) -> None:
        """Read what the table says of itself.

        Raises:
            InvalidInputError: It cannot be read, is no master table, or has no embeddings.
        """
        self.path = path
        with self._explained():
            schema = pq.read_schema(path)
        try:
            self.encoder_id = str(json.loads((schema.metadata or {})[METADATA_KEY])["served"]["encoder_id"])
        except (ValueError, KeyError, TypeError) as exc:
            raise InvalidInputError(
                f"{path} does not say which encoder made its embeddings; build it again: fsclient table build"
            ) from exc
        wanted = {*PHOTO_COLUMNS, "x0", "y0", "x1", "y1"}
        if missing := sorted(wanted - set(schema.names)):
            raise InvalidInputError(
                f"{path} holds results and no faces in rows (it has no {', '.join(missing)}); expected "
                "_table/faces.parquet of `fsclient table build`, or give the folder of the parts to --results"
            )
        if EMBEDDING_COLUMN not in schema.names:
            raise no_embeddings(path)
        self._width: int = schema.field(EMBEDDING_COLUMN).type.list_size

    def photos(self) -> Iterator[pa.RecordBatch]:
        """Return `source` and `content_hash` of each face, in batches."""
        return self._batches(["source", "content_hash"])

    def embeddings(
        self, columns: Sequence[str], sources: Iterable[str]
    ) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float32]]]:
        """Return the embeddings of the faces of some photos, in batches, each with some columns.

        Args:
            columns: Columns of the table.
            sources: Photos.

        Returns:
            Batches of B faces: the columns (B rows), and float32 (B, D), L2-normalized, read-only.
        """
        wanted = pa.array(sources, pa.string())
        for batch in self._batches(list(dict.fromkeys([*columns, "source", EMBEDDING_COLUMN]))):
            found = batch.filter(pc.is_in(batch.column("source"), wanted))
            if found.num_rows:
                yield found.select(list(columns)), matrix_of(found.column(EMBEDDING_COLUMN), self._width)

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        with self._explained(), pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=columns)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as exc:
            raise InvalidInputError(f"{self.path} cannot be read as Parquet: {exc}; build it again") from exc
