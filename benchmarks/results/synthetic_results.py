"""Synthetic results: parts as the product writes them, of any number, in little memory and little time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsdata.results.ledger import PhotoKey
from fsdata.results.parts import ROW_GROUP_SIZE, WRITE_OPTIONS, PartNumbers, locked
from fsdata.results.rows import shaped
from fsdata.results.schema import EMBEDDING_COLUMN, FACE_COLUMNS, FACES, part_schema
from fsdata.results.status import Status
from fsengine.contracts.served import ServedEnsemble, ServedModels
from fsengine.files.stores.object_state import ObjectState

_OUTPUT_OF = {column: output for output, column in FACE_COLUMNS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticResults:
    """What to make.

    Attributes:
        photos: Photos with a row of their own.
        repeated: Of these, photos that were changed and have a second, later row.
        faces_per_photo: Faces of every photo that has any; each tenth has none.
        width: Of the embeddings; 0 for none.
        part_size: Rows of a part.
        seed: Of all numbers.
    """

    photos: int
    repeated: int = 0
    faces_per_photo: int = 1
    width: int = 0
    part_size: int = 1000
    seed: int = 0

    @property
    def num_faces(self) -> int:
        """Return the faces of all photos, each counted once."""
        return (self.photos - -(-self.photos // 10)) * self.faces_per_photo

    @property
    def served(self) -> ServedEnsemble:
        """Return what the results say that they were made with."""
        models = ServedModels(
            pack="synthetic",
            model_set_id="set-synthetic",
            preprocessing_id="pre-synthetic",
            models={"detect": "synthetic", "embed": "synthetic"},
            labels={"gender": ["female", "male"], "ethnicity": [f"class {n}" for n in range(7)]},
            marks={"synthetic": ["detect"]},
            licences={},
            encoder_id="enc-synthetic",
        )
        outputs: dict[str, tuple[int, ...]] = {"face_box": (-1, 4), "face_landmarks": (-1, 5, 2), "face_score": (-1, 1)}
        if self.width:
            outputs["face_embedding"] = (-1, self.width)
        outputs |= {"ethnicity_probability": (-1, 7), "gender_probability": (-1, 2), "age_years": (-1, 1)}
        return ServedEnsemble(models=models, outputs=outputs, runtime="none")

    def photo_keys(self) -> Iterator[PhotoKey]:
        """Return source and state of each photo as it is now."""
        for number in range(self.photos):
            yield source_of(number), ObjectState(1_000_000 + number, number + (number < self.repeated), None)

    def write(self, folder: Path) -> None:
        """Write the parts into a folder that is made: as a run writes them, but none is synced to the disk."""
        rng = np.random.default_rng(self.seed)
        schema = part_schema(self.served)
        with locked(folder):
            numbers = PartNumbers(folder)
            for total, again in ((self.photos, 0), (self.repeated, 1)):
                for start in range(0, total, self.part_size):
                    table = self._table(np.arange(start, min(start + self.part_size, total)), again, schema, rng)
                    pq.write_table(table, numbers.path(), row_group_size=ROW_GROUP_SIZE, **WRITE_OPTIONS)

    def _table(self, numbers: NDArray[np.int64], again: int, schema: pa.Schema, rng: np.random.Generator) -> pa.Table:
        """Return the rows of photos without a Python object for each but its texts."""
        has_faces = numbers % 10 != 0
        count = len(numbers)
        nothing = pa.nulls(count, pa.string())
        columns = {
            "source": pa.array([source_of(number) for number in numbers.tolist()]),
            "bytes": pa.array(1_000_000 + numbers),
            "mtime_ns": pa.array(numbers + again),
            "etag": nothing,
            "content_hash": pa.array([sha256(b"%d" % number).hexdigest() for number in numbers.tolist()]),
            "width": pa.array(np.full(count, 4000, np.int32)),
            "height": pa.array(np.full(count, 3000, np.int32)),
            "status": pc.if_else(pa.array(has_faces), Status.OK.value, Status.NO_FACE.value),
            "reason": nothing,
            "converted": nothing,
            "faces_truncated": pa.array(np.zeros(count, np.bool_)),
            "model_set_id": pa.array([self.served.models.model_set_id] * count),
            "attempts": pa.array(np.ones(count, np.int32)),
            "read_ms": pa.array(np.ones(count, np.float32)),
            "infer_ms": pa.array(np.full(count, 10, np.float32)),
            FACES: self._faces(has_faces, schema.field(FACES).type, rng),
        }
        return pa.Table.from_arrays([columns[field.name] for field in schema], schema=schema)

    def _faces(self, has_faces: NDArray[np.bool_], dtype: pa.ListType, rng: np.random.Generator) -> pa.ListArray:
        offsets = np.zeros(len(has_faces) + 1, np.int32)
        np.cumsum(has_faces * self.faces_per_photo, out=offsets[1:])
        values = []
        for column in dtype.value_type:
            shape = self.served.outputs[_OUTPUT_OF[column.name]][1:]
            numbers = rng.random((offsets[-1], *shape), np.float32)
            if column.name == EMBEDDING_COLUMN:
                numbers -= 0.5
                numbers /= np.linalg.norm(numbers, axis=1, keepdims=True)
            values.append(shaped(pa.array(numbers.reshape(-1)), column.type))
        faces = pa.StructArray.from_arrays(values, fields=list(dtype.value_type))
        return pa.ListArray.from_arrays(pa.array(offsets), faces, type=dtype)


def source_of(number: int) -> str:
    """Return the path of a photo."""
    return f"/photos/{number // 100_000:04d}/{number // 1000 % 100:02d}/IMG_{number:09d}.jpg"
