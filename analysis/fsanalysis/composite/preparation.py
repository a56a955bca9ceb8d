"""What composites in one frame have in common: the shape, and the luminance of a face."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from fsanalysis.composite.cohort import Cohort, UsableFace, usable_faces
from fsanalysis.composite.frame import AlignedFace, Frame
from fsanalysis.composite.light import gain
from fsanalysis.composite.mesh.face_mesh import FaceMesh
from fsanalysis.crops.crop_store import CropStore
from fsdata.results.reading import Results

MIN_FACES = 20
PER_PHOTO = 5
SIDE_PX = 256
SHAPE_FACES = 500
"""Faces of each query that the shape and the luminance are taken from, drawn with a fixed seed."""


class Preparation:
    """Faces of one or more queries, to be moved into one frame.

    Attributes:
        cohorts: The queries.
        frame: Where their faces go.
    """

    def __init__(
        self,
        results: Results,
        cohorts: Sequence[Cohort],
        *,
        side: int = SIDE_PX,
        min_faces: int = MIN_FACES,
        on_face: Callable[[], object] | None = None,
    ) -> None:
        """Take shape and luminance from a sample of the faces.

        Args:
            results: Whose faces.
            cohorts: What was selected of them.
            side: Of the frame, in pixels.
            min_faces: The fewest faces that each may have.
            on_face: Called after each face of the samples.

        Raises:
            InvalidInputError: One has too few faces.
        """
        self._min_faces = min_faces
        self._mesh = FaceMesh()
        self._store = CropStore(results.on_disk)
        self.cohorts = list(cohorts)
        for cohort in self.cohorts:
            cohort.check_size(min_faces, cohort.faces.num_rows)
        sample: list[UsableFace] = []
        for cohort in self.cohorts:
            reasons: Counter[str] = Counter()
            before = len(sample)
            for face in usable_faces(cohort, cohort.sample(SHAPE_FACES), self._mesh, self._store, on_face):
                if isinstance(face, str):
                    reasons[face] += 1
                else:
                    sample.append(face)
            if cohort.faces.num_rows <= SHAPE_FACES and len(sample) - before < min_faces:
                cohort.left_out.update(reasons)
                cohort.check_size(min_faces, len(sample) - before)
        self.frame = Frame([face.points for face in sample], side)
        brightness = [self.frame.luminance(self.frame.align(face.image, face.points)) for face in sample]
        self._luminance = float(np.median(brightness))

    def faces(
        self, cohort: Cohort, on_face: Callable[[], object] | None = None
    ) -> Iterator[tuple[UsableFace, AlignedFace]]:
        """Yield the faces of a query that count, in the frame and equally bright.

        Args:
            cohort: One of `cohorts`; faces that are left out are counted in it.
            on_face: Called after each face that is looked at.

        Raises:
            InvalidInputError: At the end, where too few could be used.
        """
        number = 0
        for face in usable_faces(cohort, cohort.faces, self._mesh, self._store, on_face):
            if isinstance(face, str):
                cohort.left_out[face] += 1
                continue
            number += 1
            aligned = self.frame.align(face.image, face.points)
            yield face, replace(aligned, light=aligned.light * gain(self.frame.luminance(aligned), self._luminance))
        cohort.check_size(self._min_faces, number)
