"""Nobody is on two sides of a split, and what cannot be split is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsdata.labels.record import LabelledPhoto
from fsdata.labels.splits import FRACTIONS
from fsdata.labels.training_faces import TrainingFaces
from fsengine.errors import InvalidInputError
from fstraining.data.face_splits import LEAST_FACES, split_faces


def drawn(count: int, people: int | None = None, seed: int = 0) -> TrainingFaces:
    """Draw faces, some of them copies of others' bytes and some near-duplicates; some of known people."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(count, 24))
    for row in range(0, count, 15):
        embeddings[row] = embeddings[(row * 7 + 1) % count] + 0.02 * rng.normal(size=24)
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    known = [None if people is None or row % 3 else f"person {row % people}" for row in range(count)]
    return TrainingFaces(
        embeddings=embeddings,
        records=[LabelledPhoto(path=Path(f"/p/{row}.jpg"), dataset="d", identity=known[row]) for row in range(count)],
        content_hashes=[f"hash {row // 2 if row % 20 == 1 else row}" for row in range(count)],
        encoder_id="",
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_person_copy_or_near_duplicate_is_on_two_sides(seed: int) -> None:
    faces = drawn(400, people=40)
    splits = split_faces(faces, seed)
    sides = np.full(400, -1)
    for number, rows in enumerate((splits.train, splits.validation, splits.test)):
        assert (sides[rows] == -1).all()
        sides[rows] = number
    assert (sides >= 0).all()
    cosines = faces.embeddings @ faces.embeddings.T
    together = 0
    for one in range(400):
        for other in range(one):
            identity = faces.records[one].identity
            same_person = identity is not None and identity == faces.records[other].identity
            same_bytes = faces.content_hashes[one] == faces.content_hashes[other]
            if same_person or same_bytes or cosines[one, other] > 0.975:
                together += 1
                assert sides[one] == sides[other], (one, other)
    assert together > 100
    shares = [len(rows) / 400 for rows in (splits.train, splits.validation, splits.test)]
    np.testing.assert_allclose(shares, list(FRACTIONS.values()), atol=0.12)
    folds = splits.folds(splits.train, 5, seed)
    for group in np.unique(splits.groups[splits.train]):
        assert len(set(folds[splits.groups[splits.train] == group])) == 1


def test_a_seed_decides_the_split() -> None:
    faces = drawn(200)
    assert np.array_equal(split_faces(faces, 1).test, split_faces(faces, 1).test)
    assert not np.array_equal(split_faces(faces, 1).test, split_faces(faces, 2).test)


def test_too_few_faces_are_refused() -> None:
    faces = drawn(LEAST_FACES + 5)
    split_faces(faces, 0)
    with pytest.raises(InvalidInputError, match=r"59 faces have labels, expected at least 60.*'without a label': 6"):
        split_faces(faces.take(np.arange(LEAST_FACES - 1), "without a label"), 0)


def test_faces_of_too_few_people_are_refused() -> None:
    faces = drawn(200)
    same = TrainingFaces(
        embeddings=faces.embeddings, records=faces.records, content_hashes=["one"] * 200, encoder_id=""
    )
    with pytest.raises(InvalidInputError, match="200 faces are of 1 persons or near-duplicates"):
        split_faces(same, 0)
