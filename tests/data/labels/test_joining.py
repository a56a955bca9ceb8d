"""Labels meet faces by what a photo's file holds where its path is another, and in our own master table."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fsdata.labels.joining import join_master_table, join_results
from fsdata.labels.record import LabelledPhoto
from fsdata.results.master_table import build_table
from fsengine.errors import InvalidInputError
from stored_faces import ENCODER, axis, face, photo, write_part


def labelled(folder: Path, name: str, content: bytes, **labels: Any) -> LabelledPhoto:
    (folder / name).write_bytes(content)
    return LabelledPhoto(path=folder / name, dataset="a test", **labels)


def stored(name: str, content: bytes, *faces: dict[str, Any], **changes: Any) -> dict[str, Any]:
    sha = hashlib.sha256(content).hexdigest()
    return photo(name, *faces, bytes=len(content), content_hash=sha, **changes)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    write_part(
        folder,
        0,
        stored("elsewhere/a.jpg", b"one", face(0), face(1, (0, 0, 20, 20))),
        stored("elsewhere/b.jpg", b"two", face(2)),
        stored("copy/b.jpg", b"two", status="failed"),
        stored("c.jpg", b"three"),
        stored("d.jpg", b"seven", face(3)),
    )
    return folder


@pytest.fixture
def records(tmp_path: Path) -> list[LabelledPhoto]:
    return [
        labelled(tmp_path, "a.jpg", b"one", gender="female"),
        labelled(tmp_path, "b.jpg", b"two", gender="male"),
        labelled(tmp_path, "c.jpg", b"three", gender="male"),
        labelled(tmp_path, "x.jpg", b"eight", gender="male"),  # as long as another, and not the same
        LabelledPhoto(path=Path("/photos/d.jpg"), dataset="a test", gender="female"),
        LabelledPhoto(path=Path("/photos/gone.jpg"), dataset="a test", gender="female"),
    ]


def test_moved_photos_are_found_by_their_content(results: Path, records: list[LabelledPhoto]) -> None:
    faces = join_results(results, records)
    assert [record.path.name for record in faces.records] == ["a.jpg", "b.jpg", "d.jpg"]
    assert faces.embeddings.tolist() == [axis(1), axis(2), axis(3)]
    assert faces.joined == {"by path": 1, "by content": 2, "with copies in the results": 1}
    assert faces.left_out == {"no face (no_face)": 1, "not in the results": 2}
    assert faces.encoder_id == ENCODER


def test_the_path_counts_before_the_content(tmp_path: Path, results: Path) -> None:
    (tmp_path / "moved").mkdir()
    here = labelled(tmp_path / "moved", "d.jpg", b"one")
    write_part(results, 1, stored("x", b"other", face(2), source=str(here.path)))
    faces = join_results(results, [here])
    assert faces.embeddings.tolist() == [axis(2)]
    assert faces.joined["by path"] == 1


def test_labels_that_contradict_each_other_by_content_are_left_out(tmp_path: Path, results: Path) -> None:
    first = labelled(tmp_path, "a.jpg", b"one", gender="female")
    second = labelled(tmp_path, "b.jpg", b"one", gender="male")
    third = LabelledPhoto(path=Path("/photos/d.jpg"), dataset="a test", gender="male")
    faces = join_results(results, [first, second, third])
    assert [record.path.name for record in faces.records] == ["d.jpg"]
    assert faces.left_out == {"copies with different labels": 2}


def test_a_master_table_gives_the_same_faces(results: Path, records: list[LabelledPhoto], tmp_path: Path) -> None:
    table = build_table(results).rename(tmp_path / "faces.parquet")
    faces = join_master_table(table, records)
    assert faces.embeddings.tolist() == join_results(results, records).embeddings.tolist()
    assert faces.encoder_id == ENCODER
    assert faces.joined["by content"] == 2
    # A photo without a face is no row of it.
    assert faces.left_out == {"not in the results": 3}


def test_what_is_no_master_table_is_refused(results: Path, records: list[LabelledPhoto], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="give the folder of the parts to --results"):
        join_master_table(next(results.glob("part-*")), records)
    table = pq.read_table(build_table(results))
    for name, content, said in (
        ("bare", table.replace_schema_metadata(None), "does not say which encoder"),
        ("without", table.drop_columns(["embedding"]), "holds no embeddings"),
    ):
        pq.write_table(content, tmp_path / f"{name}.parquet")
        with pytest.raises(InvalidInputError, match=said):
            join_master_table(tmp_path / f"{name}.parquet", records)
    with pytest.raises(InvalidInputError, match="none of 1 labelled photos"):
        join_master_table(build_table(results), records[-1:])


def test_photos_that_are_not_utf_8_are_found(tmp_path: Path, results: Path) -> None:
    record = LabelledPhoto(path=Path("/photos/\udce4.jpg"), dataset="a test", gender="male")
    write_part(results, 1, stored("x", b"other", face(2), source="file:///photos/%E4.jpg"))
    assert join_results(results, [record]).joined == {"by path": 1}
