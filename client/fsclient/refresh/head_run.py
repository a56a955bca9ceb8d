"""A part made anew from a stored one: changed heads run on its embeddings, everything else is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_retries import RetryPolicy, with_retries
from fsdata.results.flat_faces import matrix_of
from fsdata.results.part_reading import open_part
from fsdata.results.parts import ROW_GROUP_SIZE, WRITE_OPTIONS, results_file
from fsdata.results.rows import shaped
from fsdata.results.schema import EMBEDDING_COLUMN, FACE_COLUMNS, FACES, part_schema
from fsengine.contracts.served import ServedEnsemble, ServedHead
from fsengine.contracts.steps import FACE_BATCH_LIMIT
from fsengine.errors import InferenceError

BATCHES_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRun:
    """Heads that are run on stored embeddings.

    Attributes:
        backend: What runs them.
        served: What is served, `without_embedding` where the new parts are to hold none.
        steps: Steps of the heads to run; the columns of all others are kept.
        retry: What to do when the server is unavailable.
    """

    backend: InferenceBackend
    served: ServedEnsemble
    steps: Sequence[str]
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    async def refresh(self, part: Path, target: Path, on_faces: Callable[[int], None]) -> None:
        """Write the part that stands for `part` under the served models, whole or not at all.

        Args:
            part: An existing part.
            target: Where to write.
            on_faces: Called with each number of faces that were done.

        Raises:
            ResultsError: `part` cannot be read or `target` not be written.
            InferenceError: The server was unavailable in all attempts, or refused.
        """
        schema = part_schema(self.served)
        with (
            open_part(part) as old,
            results_file(target) as out,
            pq.ParquetWriter(out, schema, **WRITE_OPTIONS) as writer,
        ):
            for photos in old.groups():
                writer.write_table(await self._refreshed(photos, schema, on_faces), ROW_GROUP_SIZE)

    async def _refreshed(self, photos: pa.Table, schema: pa.Schema, on_faces: Callable[[int], None]) -> pa.Table:
        """Return photos as a table of the new schema."""
        faces = photos.column(FACES).combine_chunks()
        struct = faces.flatten()
        columns = {f.name: struct.field(i) for i, f in enumerate(struct.type)}
        dtype = schema.field(FACES).type
        columns |= await self._run_heads(columns, len(struct), dtype.value_type, on_faces)
        fields = list(dtype.value_type)
        values = pa.StructArray.from_arrays([columns[f.name].cast(f.type) for f in fields], fields=fields)
        offsets = np.zeros(len(faces) + 1, np.int32)
        np.cumsum(pc.list_value_length(faces).to_numpy(zero_copy_only=False), out=offsets[1:])
        changed = {
            FACES: pa.ListArray.from_arrays(pa.array(offsets), values, type=dtype),
            "model_set_id": pa.array([self.served.models.model_set_id] * len(faces), pa.string()),
        }
        arrays = [changed[f.name] if f.name in changed else photos.column(f.name).cast(f.type) for f in schema]
        return pa.Table.from_arrays(arrays, schema=schema)

    async def _run_heads(
        self, columns: dict[str, pa.Array], num_faces: int, types: pa.StructType, on_faces: Callable[[int], None]
    ) -> dict[str, pa.Array]:
        """Return the fields of faces that the heads make, of the types that the new part has."""
        heads = [self.served.heads[step] for step in self.steps]
        made: dict[str, list[NDArray[np.float32]]] = {o: [] for head in heads for o in head.outputs.values()}
        if heads:
            stored = columns[EMBEDDING_COLUMN]
            embeddings = matrix_of(stored, stored.type.list_size)
            batches = [embeddings[i : i + FACE_BATCH_LIMIT] for i in range(0, num_faces, FACE_BATCH_LIMIT)]
            for start in range(0, len(batches), BATCHES_IN_FLIGHT):
                wave = batches[start : start + BATCHES_IN_FLIGHT]
                asked = [(head, rows) for rows in wave for head in heads]
                for answer in await asyncio.gather(*(self._ask(head, rows) for head, rows in asked)):
                    for name, numbers in answer.items():
                        made[name].append(numbers)
                on_faces(sum(len(rows) for rows in wave))
        else:
            on_faces(num_faces)
        return {
            FACE_COLUMNS[name]: shaped(
                pa.array(np.concatenate(numbers) if numbers else np.empty(0, np.float32)),
                types.field(FACE_COLUMNS[name]).type,
            )
            for name, numbers in made.items()
            if name in self.served.outputs
        }

    async def _ask(self, head: ServedHead, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return each output of a head for a batch, flat and checked."""
        contiguous = np.ascontiguousarray(rows)
        arrays = await with_retries(
            lambda: self.backend.infer_head(head, contiguous),
            self.retry,
            self.backend,
            self.served.models.model_set_id,
        )
        for name, array in arrays.items():
            expected = (len(rows), *self.served.outputs.get(name, array.shape)[1:])
            if array.shape != expected:
                raise InferenceError(
                    f"the {head.step} model gave {name} of shape {list(array.shape)} for {len(rows)} faces, "
                    f"expected {list(expected)}; build the models again"
                )
        return {name: array.astype(np.float32, copy=False).reshape(-1) for name, array in arrays.items()}


def is_refreshed(part: Path, target: Path, served: ServedEnsemble) -> bool:
    """Return whether `target` was made from `part`, as it is now, for what is served."""
    if not target.is_file() or target.stat().st_mtime_ns < part.stat().st_mtime_ns:
        return False
    with open_part(part) as old, open_part(target) as new:
        return new.info.models == served.models and new.num_rows == old.num_rows
