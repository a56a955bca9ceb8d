"""Labels meet the embeddings of their own photos, of one encoder alone; what cannot be used is refused or counted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from fsdata.labels.joining import join_results
from fsdata.labels.record import LabelledPhoto
from fsdata.labels.training_faces import TrainingFaces, read_embedding_table
from fsdata.results.schema import METADATA_KEY, part_schema
from fsengine.contracts.served import ServedEnsemble, ServedModels
from fsengine.errors import InvalidInputError
from stored_faces import ENCODER, OUTPUTS, SERVED, WIDTH, axis, face, photo, write_part


def record(name: str, **labels: Any) -> LabelledPhoto:
    return LabelledPhoto(path=Path(f"/photos/{name}"), dataset="a test", **labels)


def test_the_largest_face_of_each_photo_is_taken_in_the_order_of_the_labels(tmp_path: Path) -> None:
    wide, tall, small = (0, 0, 30, 5), (40, 40, 50, 60), (90, 90, 101, 101)  # 150, 200 and 121 pixels
    write_part(tmp_path, 0, photo("a.jpg", face(0, wide), face(1, tall), face(2, small)), photo("b.jpg", face(3)))
    write_part(tmp_path, 1, photo("c.jpg", face(2)), photo("unlabelled.jpg", face(0)))
    faces = join_results(tmp_path, [record("c.jpg", rating=1.0), record("a.jpg", rating=2.0), record("b.jpg")])
    assert faces.embeddings.tolist() == [axis(2), axis(1), axis(3)]
    assert faces.embeddings.dtype == np.float32
    assert [item.rating for item in faces.records] == [1.0, 2.0, None]
    assert faces.content_hashes == ["hash of c.jpg", "hash of a.jpg", "hash of b.jpg"]
    assert (faces.encoder_id, dict(faces.left_out)) == (ENCODER, {})


def test_of_a_photo_in_two_parts_the_later_one_counts(tmp_path: Path) -> None:
    # Written in the other order: the names decide.
    write_part(tmp_path, 10, photo("a.jpg", face(1), content_hash="new"))
    write_part(tmp_path, 9, photo("a.jpg", face(0), content_hash="old"), photo("b.jpg", status="failed"))
    write_part(tmp_path, 11, photo("b.jpg", face(2)))
    faces = join_results(tmp_path, [record("a.jpg"), record("b.jpg")])
    assert faces.embeddings.tolist() == [axis(1), axis(2)]
    assert faces.content_hashes[0] == "new"


def test_labelled_photos_without_a_face_are_counted_by_reason(tmp_path: Path) -> None:
    photos = [photo("a.jpg", face(0)), photo("b.jpg"), photo("c.jpg"), photo("d.jpg", status="unreadable")]
    write_part(tmp_path, 0, *photos)
    faces = join_results(tmp_path, [record(name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "elsewhere.jpg")])
    assert len(faces.records) == len(faces.embeddings) == 1
    assert faces.left_out == {"no face (no_face)": 2, "no face (unreadable)": 1, "not in the results": 1}
    with pytest.raises(InvalidInputError, match=r"none of 2 labelled photos.*paths must be the same"):
        join_results(tmp_path, [record("b.jpg"), record("elsewhere.jpg")])


def test_results_of_two_encoders_are_refused(tmp_path: Path) -> None:
    write_part(tmp_path, 0, photo("a.jpg", face(0)))
    other = ServedModels(**{**asdict(SERVED), "encoder_id": "enc-ba9876543210"})
    write_part(tmp_path, 1, photo("b.jpg", face(0)), models=other)
    with pytest.raises(InvalidInputError, match="embeddings of 2 encoders"):
        join_results(tmp_path, [record("a.jpg")])
    # Other heads, other model sets, and the same encoder: fine.
    heads = ServedModels(**{**asdict(SERVED), "model_set_id": "set-1", "labels": {"gender": ["a", "b"]}})
    write_part(tmp_path, 1, photo("b.jpg", face(0)), models=heads)
    assert len(join_results(tmp_path, [record("a.jpg"), record("b.jpg")]).records) == 2


@pytest.mark.parametrize("given", ["empty", "missing", "strangers"])
def test_a_folder_without_parts_is_refused(tmp_path: Path, given: str) -> None:
    if given == "strangers":
        (tmp_path / "table.parquet").write_bytes(b"x")
    folder = tmp_path / "nowhere" if given == "missing" else tmp_path
    with pytest.raises(InvalidInputError, match="holds no parts"):
        join_results(folder, [record("a.jpg")])


@pytest.mark.parametrize("old", ["absent", "empty"])
def test_parts_of_a_version_that_did_not_note_the_encoder_are_refused(tmp_path: Path, old: str) -> None:
    path = write_part(tmp_path, 0, photo("a.jpg", face(0)))
    table = pq.read_table(path)
    noted = json.loads(table.schema.metadata[METADATA_KEY])
    if old == "absent":
        del noted["served"]["encoder_id"]
    else:
        noted["served"]["encoder_id"] = ""
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(noted)}), path)
    with pytest.raises(InvalidInputError, match=r"earlier version.*ingest the photos again"):
        join_results(tmp_path, [record("a.jpg")])


@pytest.mark.parametrize(
    "metadata", [None, {METADATA_KEY: b"{}"}, {METADATA_KEY: b"not json"}, {b"other": b"{}"}], ids=str
)
def test_parquet_that_is_no_part_is_refused(tmp_path: Path, metadata: dict[bytes, bytes] | None) -> None:
    path = write_part(tmp_path, 0, photo("a.jpg", face(0)))
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(InvalidInputError, match="was not written by `fsclient ingest`"):
        join_results(tmp_path, [record("a.jpg")])


def test_a_part_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write_part(tmp_path, 0, photo("a.jpg", face(0)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidInputError, match=r"part-00000"):
        join_results(tmp_path, [record("a.jpg")])


def write_table(path: Path, embeddings: Any, name: str = "embedding") -> Path:
    pq.write_table(pa.table({"file": [f"{n}.jpg" for n in range(len(embeddings))], name: embeddings}), path)
    return path


def records(count: int) -> list[LabelledPhoto]:
    return [record(f"{number}.jpg", rating=float(number)) for number in range(count)]


def test_rows_of_a_table_are_normalized_and_stay_in_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, WIDTH)) * np.linspace(0.1, 50, 20)[:, None]
    rows[7] = rows[3]
    faces = read_embedding_table(write_table(tmp_path / "t.parquet", rows.tolist()), records(20), "enc-stated")
    np.testing.assert_allclose(np.linalg.norm(faces.embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(faces.embeddings, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)
    assert faces.embeddings.dtype == np.float32
    assert [item.rating for item in faces.records] == list(range(20))
    assert faces.encoder_id == "enc-stated"
    # Copies are known as such.
    assert len(set(faces.content_hashes)) == 19
    assert faces.content_hashes[3] == faces.content_hashes[7]


def good_rows() -> list[Any]:
    return np.random.default_rng(0).normal(size=(6, WIDTH)).tolist()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 2.0], "one width"),
        ([], "one width"),
        ([1.0, float("nan"), 0.0, 0.0], "no vectors of finite numbers"),
        ([1.0, float("inf"), 0.0, 0.0], "no vectors of finite numbers"),
        ([1.0, None, 0.0, 0.0], "embedding"),
        ([0.0] * WIDTH, "no vectors of finite numbers"),
        (None, "embedding"),
    ],
    ids=str,
)
def test_a_table_with_a_row_that_is_no_vector_is_refused(tmp_path: Path, value: Any, message: str) -> None:
    rows = good_rows()
    rows[4] = value
    with pytest.raises(InvalidInputError, match=message):
        read_embedding_table(write_table(tmp_path / "t.parquet", rows), records(6), "")


def test_a_table_whose_columns_or_rows_do_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"columns file, vector .*expected a column embedding"):
        read_embedding_table(write_table(tmp_path / "a.parquet", good_rows(), "vector"), records(6), "")
    with pytest.raises(InvalidInputError, match="no vectors of finite numbers"):
        read_embedding_table(write_table(tmp_path / "b.parquet", [1.0] * 6), records(6), "")
    with pytest.raises(InvalidInputError, match="one width"):
        read_embedding_table(write_table(tmp_path / "c.parquet", ["text"] * 6), records(6), "")
    with pytest.raises(InvalidInputError, match="expected a column embedding and 5 rows"):
        read_embedding_table(write_table(tmp_path / "d.parquet", good_rows()), records(5), "")
    (tmp_path / "e.parquet").write_bytes(b"no Parquet")
    with pytest.raises(InvalidInputError, match="cannot be read as Parquet"):
        read_embedding_table(tmp_path / "e.parquet", records(6), "")


def test_faces_that_are_left_out_are_counted() -> None:
    embeddings: NDArray[np.float32] = np.eye(4, dtype=np.float32)
    faces = TrainingFaces(embeddings=embeddings, records=records(4), content_hashes=list("abcd"), encoder_id=ENCODER)
    some = faces.take(np.array([2, 0]), "without a rating")
    assert some.embeddings.tolist() == embeddings[[2, 0]].tolist()
    assert [item.rating for item in some.records] == [2.0, 0.0]
    assert (some.content_hashes, some.encoder_id) == (["c", "a"], ENCODER)
    assert some.left_out == {"without a rating": 2}
    assert some.take(np.array([0]), "of a child").left_out == {"without a rating": 2, "of a child": 1}
    assert faces.take(np.arange(4), "for nothing").left_out == {}
    with pytest.raises(ValueError, match="differ in number"):
        TrainingFaces(embeddings=embeddings, records=records(3), content_hashes=list("abcd"), encoder_id="")


def test_copies_of_a_photo_count_once_and_not_at_all_where_their_labels_differ(tmp_path: Path) -> None:
    twins = [photo(name, face(number), content_hash=name[0]) for number, name in enumerate(("a1.jpg", "a2.jpg"))]
    contrary = [photo(name, face(2), content_hash=name[0]) for name in ("b1.jpg", "b2.jpg")]
    write_part(tmp_path, 0, *twins, *contrary, photo("c.jpg", face(3)))
    labelled = [
        record("a1.jpg", gender="female"),
        record("a2.jpg", gender="female"),
        record("b1.jpg", gender="female"),
        record("b2.jpg", gender="male"),
        record("c.jpg", gender="male"),
        record("c.jpg", gender="male"),
    ]
    faces = join_results(tmp_path, labelled)
    assert [row.path.name for row in faces.records] == ["a1.jpg", "c.jpg"]
    assert faces.left_out == {"copies": 2, "copies with different labels": 2}


def test_results_whose_refresh_was_interrupted_are_refused(tmp_path: Path) -> None:
    write_part(tmp_path, 0, photo("a.jpg", face(0)))
    staging = tmp_path / ".refresh-set-1"
    staging.mkdir()
    (staging / "plan.json").write_text('{"mode": "heads", "served": {"pack": "another"}}')
    with pytest.raises(InvalidInputError, match=r"a refresh of .* was interrupted.*--refresh"):
        join_results(tmp_path, [record("a.jpg")])


def test_a_later_row_without_a_face_counts(tmp_path: Path) -> None:
    write_part(tmp_path, 0, photo("a.jpg", face(0)), photo("b.jpg", face(1)))
    write_part(tmp_path, 1, photo("a.jpg", status="failed"))
    faces = join_results(tmp_path, [record("a.jpg"), record("b.jpg")])
    assert faces.embeddings.tolist() == [axis(1)]
    assert faces.left_out == {"no face (failed)": 1}


def test_of_faces_of_one_size_the_first_counts(tmp_path: Path) -> None:
    write_part(tmp_path, 0, photo("a.jpg", face(2, (0, 0, 5, 4)), face(1, (3, 3, 7, 8)), face(0, (0, 0, 1, 1))))
    assert join_results(tmp_path, [record("a.jpg")]).embeddings.tolist() == [axis(2)]


def test_results_without_embeddings_are_refused(tmp_path: Path) -> None:
    outputs = {name: shape for name, shape in OUTPUTS.items() if name != "face_embedding"}
    schema = part_schema(ServedEnsemble(models=SERVED, outputs=outputs, runtime="a test"))
    without = [{"box": [0, 0, 1, 1], "score": 0.9}]
    rows = [{**photo("a.jpg", *without)}]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "part-000001.parquet")
    with pytest.raises(InvalidInputError, match=r"holds no embeddings: .*--no-embedding"):
        join_results(tmp_path, [record("a.jpg")])


def test_faces_of_photos_without_a_label_are_not_held(tmp_path: Path) -> None:
    for number in range(20):
        write_part(tmp_path, number, *(photo(f"{number}-{n}.jpg", *[face(n % WIDTH)] * 50) for n in range(50)))
    before = pa.total_allocated_bytes()
    faces = join_results(tmp_path, [record("3-1.jpg"), record("17-2.jpg")])
    assert faces.embeddings.tolist() == [axis(1), axis(2)]
    assert faces.embeddings.base is None or faces.embeddings.base.nbytes < 1000
    assert pa.total_allocated_bytes() - before < 100_000
