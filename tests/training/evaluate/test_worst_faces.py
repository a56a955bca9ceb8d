"""The faces that a head is most wrong about: the worst first, bounded, none that is not the photo that was ingested."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_faces import drawn_faces
from fsdata.labels.training_faces import FacePlace, TrainingFaces
from fstraining.evaluate.predictions import Answer
from fstraining.evaluate.worst_faces import FACE_PX, MOST_FACES, worst_faces

pytest.importorskip("cv2", reason="cv2 is missing; it cuts faces out")

COUNT = 30


def stored(folder: Path) -> TrainingFaces:
    """Return faces that lie in one photo; it has a long name of odd letters."""
    photo = folder / f"{'long ' * 30}<b>&.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)).save(photo)
    content_hash = hashlib.sha256(photo.read_bytes()).hexdigest()
    faces = drawn_faces(COUNT)
    place = FacePlace(
        source=str(photo), content_hash=content_hash, width=100, height=80, face_index=0, x0=70, y0=5, x1=110, y1=45
    )
    records = [replace(record, path=photo) for record in faces.records]
    return replace(faces, records=records, places=[place] * COUNT, content_hashes=[content_hash] * COUNT)


AGES = Answer(
    name="age_years", title="age", truth=[30.0] * COUNT, predicted=[30.0 + row for row in range(COUNT)], unit="years"
)
CLASSES = Answer(
    name="x",
    title="x",
    truth=["a"] * COUNT,
    predicted=["a", "b"] * (COUNT // 2),
    probabilities=np.array([[0.9, 0.1], [0.2, 0.8]] * (COUNT // 2)),
    classes=["a", "b"],
)


def test_the_worst_come_first_with_truth_and_answer_and_no_folder(tmp_path: Path) -> None:
    (title, found), (_, classes) = worst_faces(stored(tmp_path), [AGES, CLASSES])
    assert title == "age"
    assert len(found) == len(classes) == MOST_FACES // 2
    assert [face.text for face in found[:2]] == [
        "labelled 30.00, predicted 59.00 years",
        "labelled 30.00, predicted 58.00 years",
    ]
    assert classes[0].text == "labelled a, predicted b (0.80)"
    with Image.open(io.BytesIO(base64.b64decode(found[0].uri.partition(",")[2]))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (FACE_PX, FACE_PX))
    assert not [face for face in found if str(tmp_path) in face.name + face.text + face.missing]


@pytest.mark.parametrize(("change", "said"), [("gone", "gone"), ("changed", "changed"), ("damaged", "changed")])
def test_a_photo_that_is_not_what_was_ingested_is_not_shown(change: str, said: str, tmp_path: Path) -> None:
    faces = stored(tmp_path)
    photo = faces.records[0].path
    if change == "gone":
        photo.unlink()
    else:
        photo.write_bytes(photo.read_bytes()[:100] if change == "damaged" else b"")
    ((_, found),) = worst_faces(faces, [AGES])
    assert len(found) == MOST_FACES
    assert {face.uri for face in found} == {""}
    assert all(said in face.missing for face in found)


def test_faces_of_a_table_of_embeddings_have_no_pictures() -> None:
    assert worst_faces(drawn_faces(COUNT), [AGES]) == []
