"""The faces of one query that a composite is made of, and those that it leaves out, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsanalysis.composite.mesh.face_mesh import FaceMesh
from fsanalysis.composite.similarity import Points
from fsanalysis.crops.crop_store import CropStore
from fsanalysis.crops.crops_of_results import iter_crops
from fsdata.pictures.cutting import FaceCrop, MissingCrop
from fsdata.pictures.photo_faces import COLUMNS
from fsdata.results.flat_faces import matrix_of
from fsdata.results.reading import Results
from fsdata.selection.selected_faces import select_faces
from fsengine.errors import InvalidInputError

COHORT_COLUMNS = (*COLUMNS, "landmarks", "score")
"""Of faces, that averaging them takes."""

SEED = 20
_BATCH = 16
_MOST_TURNED = 0.5
"""Sine of 30 degrees."""

COPY = "copies of a photo that counts already"
TURNED = "turned aside by more than 30 degrees"
NO_MESH = "no face was seen in the crop"


@dataclass(frozen=True, slots=True, eq=False)
class UsableFace:
    """A face that counts.

    Attributes:
        source: Its photo.
        face_index: Of the face in the photo.
        image: Its crop, uint8 (224, 224, 3).
        points: Its mesh in pixels of the crop, (468, 2).
    """

    source: str
    face_index: int
    image: NDArray[np.uint8]
    points: Points


@dataclass(slots=True)
class Cohort:
    """The faces of one query.

    Attributes:
        results: Whose faces.
        where: The query; None for all faces.
        faces: Those that may count, a row each, sorted by source.
        num_found: Faces that the query selects.
        left_out: Faces that do not count by reason; what is seen in pictures alone is added by `usable`.
    """

    results: Results
    where: str | None
    faces: pa.Table
    num_found: int
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def select(cls, results: Results, where: str | None, *, per_photo: int) -> Cohort:
        """Run a query, and leave out copies and what is too much of one photo.

        Args:
            results: Whose faces.
            where: One expression; None for all faces.
            per_photo: Faces of one photo that count: those with the highest scores.

        Raises:
            InvalidInputError: It is no expression.
        """
        return cls.of_faces(results, where, select_faces(results, where, list(COHORT_COLUMNS)), per_photo=per_photo)

    @classmethod
    def of_faces(cls, results: Results, where: str | None, found: pa.Table, *, per_photo: int) -> Cohort:
        """Take faces that are found already, and leave out copies and what is too much of one photo.

        Args:
            results: Whose faces.
            where: How they were found, in words; None for all faces.
            found: Rows with `COHORT_COLUMNS`, those of a photo one after the other.
            per_photo: See `select`.
        """
        columns = found.select(["content_hash", "source", "face_index", "score"]).to_pydict()
        first: dict[str, str] = {}
        for content, source in zip(columns["content_hash"], columns["source"], strict=True):
            first.setdefault(content, source)
        of_photo: dict[str, list[int]] = {}
        cohort = cls(results, where, found, found.num_rows)
        for row, (content, source) in enumerate(zip(columns["content_hash"], columns["source"], strict=True)):
            if first[content] != source:
                cohort.left_out[COPY] += 1
            else:
                of_photo.setdefault(source, []).append(row)
        kept = []
        for rows in of_photo.values():
            best = sorted(rows, key=lambda row: (-columns["score"][row], columns["face_index"][row]))
            kept += best[:per_photo]
            if len(best) > per_photo:
                cohort.left_out[f"more than {per_photo} of one photo"] += len(best) - per_photo
        cohort.faces = found.take(pa.array(sorted(kept), pa.int64()))
        return cohort

    def sample(self, most: int) -> pa.Table:
        """Return the rows of at most so many faces, drawn with a fixed seed, in their order."""
        if self.faces.num_rows <= most:
            return self.faces
        drawn = np.random.default_rng(SEED).choice(self.faces.num_rows, most, replace=False)
        return self.faces.take(pa.array(np.sort(drawn)))

    def check_size(self, least: int, number: int) -> None:
        """Refuse a cohort that is too small to be anybody's mean.

        Raises:
            InvalidInputError: It is.
        """
        if number < least:
            reasons = "".join(f"; {count} left out: {reason}" for reason, count in self.left_out.most_common())
            raise InvalidInputError(
                f"{self.where or 'all faces'}: {number} of {self.num_found} faces can be used, expected {least} or "
                f"more (--min-faces){reasons}; a mean of few faces shows persons, so select more"
            )


def usable_faces(
    cohort: Cohort, faces: pa.Table, mesh: FaceMesh, store: CropStore, on_face: Callable[[], object] | None = None
) -> Iterator[UsableFace | str]:
    """Yield the faces of a cohort that can be averaged, and for each other the reason.

    Args:
        cohort: It.
        faces: Rows of it.
        mesh: Finds their points.
        store: Crops that are kept.
        on_face: Called after each row.
    """
    in_photo = matrix_of(faces["landmarks"].combine_chunks(), 10).astype(np.float64).reshape(-1, 5, 2)
    held: list[tuple[FaceCrop, NDArray[np.float64]]] = []

    def meshed() -> Iterator[UsableFace | str]:
        found = mesh.find([crop.image for crop, _ in held], [points for _, points in held])
        for (crop, _), face in zip(held, found, strict=True):
            if not face.present:
                yield NO_MESH
            elif abs(face.turned) > _MOST_TURNED:
                yield TURNED
            else:
                yield UsableFace(crop.source, crop.face_index, crop.image, face.points)
        held.clear()

    for row, crop in enumerate(iter_crops(cohort.results, faces, store)):
        if isinstance(crop, MissingCrop):
            yield crop.reason
        else:
            held.append((crop, crop.points(in_photo[row])))
        if len(held) == _BATCH:
            yield from meshed()
        if on_face is not None:
            on_face()
    yield from meshed()
