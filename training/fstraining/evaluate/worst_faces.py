"""The faces that a head is most wrong about, cut out of their photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from fsdata.labels.training_faces import TrainingFaces
from fsdata.pictures.cutting import FaceCrop, MissingCrop
from fsdata.pictures.html_page import picture_uri
from fsdata.pictures.photo_faces import cut_faces
from fsengine.terminal.messages import printable
from fstraining.evaluate.predictions import Answer

MOST_FACES = 24
FACE_PX = 112


@dataclass(frozen=True, slots=True)
class WorstFace:
    """A face of a page.

    Attributes:
        uri: Its picture; empty where there is none.
        text: What was labelled and predicted.
        name: Name of the photo's file, without its folders.
        missing: Why there is no picture; empty where there is one.
    """

    uri: str
    text: str
    name: str
    missing: str


def worst_faces(faces: TrainingFaces, answers: Sequence[Answer]) -> list[tuple[str, list[WorstFace]]]:
    """Return the faces with the largest errors of each answer, the largest first, `MOST_FACES` in all.

    Args:
        faces: Those kept out of training.
        answers: Of them, in their order.
    """
    if not faces.places:
        return []
    found = []
    for answer in answers:
        rows = np.argsort(-answer.errors(), kind="stable")[: MOST_FACES // len(answers)].tolist()
        cut = cut_faces([asdict(faces.places[row]) for row in rows])
        found.append((answer.title, [_shown(faces, row, answer, crop) for row, crop in zip(rows, cut, strict=True)]))
    return found


def _shown(faces: TrainingFaces, row: int, answer: Answer, crop: FaceCrop | MissingCrop) -> WorstFace:
    uri, missing = "", ""
    if isinstance(crop, FaceCrop):
        uri = picture_uri(crop.image, "JPEG", FACE_PX)
    else:
        missing = crop.reason
    return WorstFace(uri, printable(answer.told(row)), printable(faces.records[row].path.name), missing)
