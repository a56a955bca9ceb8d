"""Synthetic results: parts written with the product's own writer, of any size, in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsdata.results.parts import PartWriter, locked
from fsdata.results.rows import PhotoFile, PhotoRow
from fsdata.results.schema import part_schema
from fsdata.results.status import Status
from fsengine.contracts.served import ServedEnsemble, ServedModels


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

    def photo_keys(self) -> Iterator[tuple[str, int, int]]:
        """Return (source, bytes, mtime_ns) of each photo as it is now."""
        for number in range(self.photos):
            yield source_of(number), 1_000_000 + number, number + (number < self.repeated)

    def write(self, folder: Path) -> None:
        """Write the parts into a folder that is made."""
        rng = np.random.default_rng(self.seed)
        with locked(folder):
            writer = PartWriter(folder, part_schema(self.served), self.served.models.model_set_id)
            for total, again in ((self.photos, 0), (self.repeated, 1)):
                for start in range(0, total, self.part_size):
                    writer.write(self._rows(range(start, min(start + self.part_size, total)), again, rng))

    def _rows(self, numbers: range, again: int, rng: np.random.Generator) -> list[PhotoRow]:
        count = len(numbers) * self.faces_per_photo
        arrays = {name: rng.random((count, *shape[1:]), np.float32) for name, shape in self.served.outputs.items()}
        if self.width:
            arrays["face_embedding"] -= 0.5
            arrays["face_embedding"] /= np.linalg.norm(arrays["face_embedding"], axis=1, keepdims=True)
        rows = []
        for at, number in enumerate(numbers):
            of_photo = slice(at * self.faces_per_photo, (at + 1) * self.faces_per_photo)
            has_faces = number % 10 != 0
            rows.append(
                PhotoRow(
                    photo=PhotoFile(
                        source=source_of(number),
                        num_bytes=1_000_000 + number,
                        mtime_ns=number + again,
                        content_hash=f"{number * 0x9E3779B97F4A7C15 % 2**256:064x}",
                    ),
                    status=Status.OK if has_faces else Status.NO_FACE,
                    width=4000,
                    height=3000,
                    faces={name: array[of_photo] for name, array in arrays.items()} if has_faces else {},
                    attempts=1,
                    read_ms=1.0,
                    infer_ms=10.0,
                )
            )
        return rows


def source_of(number: int) -> str:
    """Return the path of a photo."""
    return f"/photos/{number // 100_000:04d}/{number // 1000 % 100:02d}/IMG_{number:09d}.jpg"
