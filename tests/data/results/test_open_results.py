"""A folder of results is read back whole or in batches: the rows that count, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fsdata.results import open_results
from fsdata.results.ledger import read_ledger
from fsdata.results.master_table import build_table
from fsdata.results.part_reading import open_part
from fsdata.results.parts import part_paths
from fsdata.results.schema import COLUMNS
from fsengine.errors import InvalidInputError, ResultsError
from results_for_tests import (
    SERVED,
    WITHOUT_EMBEDDINGS,
    faces_of,
    latest_of,
    random_history,
    row_of,
    write_parts,
)


@pytest.mark.parametrize("seed", range(8))
def test_photos_faces_and_the_table_equal_what_a_dict_finds(seed: int, tmp_path: Path) -> None:
    parts = random_history(seed)
    results = open_results(write_parts(tmp_path, *parts))
    rows = latest_of(parts)
    photos = results.photos()
    assert photos["source"].to_pylist() == [row.photo.source for row in rows]
    assert photos["infer_ms"].to_pylist() == [row.infer_ms for row in rows]
    assert "faces" not in photos.column_names
    assert results.num_photos == len(rows) < 200
    assert results.statuses() == {
        status: sum(row.status == status for row in rows) for status in {row.status.value for row in rows}
    }
    expected = faces_of(rows)
    faces = results.faces()
    assert faces.select(list(expected[0])).to_pylist() == expected
    table = pq.read_table(build_table(tmp_path))
    assert table.equals(faces)
    assert table.schema.equals(results.face_schema())
    assert table.schema.metadata == faces.schema.metadata == results.face_schema().metadata


@pytest.mark.parametrize("batch_rows", [1, 7, 50, 100_000])
def test_batches_have_one_size_and_all_rows(batch_rows: int, tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path, *random_history(1)))
    for batches, whole in (
        (list(results.scan(batch_rows=batch_rows)), results.faces()),
        (list(results.scan_photos(batch_rows=batch_rows)), results.photos()),
    ):
        assert pa.Table.from_batches(batches).equals(whole)
        assert {batch.num_rows for batch in batches[:-1]} <= {batch_rows}
        assert 0 < batches[-1].num_rows <= batch_rows


@pytest.mark.parametrize(
    "columns",
    [["gender"], ["x1", "source"], ["face_index"], ["source"], ["embedding", "landmarks"], ["score", "height", "y0"]],
    ids=str,
)
def test_some_columns_are_those_of_all(columns: list[str], tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path, *random_history(2)))
    assert results.faces(columns).equals(results.faces().select(columns))
    some = results.faces(columns).column_names
    assert some == columns == results.face_schema(columns).names


def test_photos_that_are_named_are_read_alone(tmp_path: Path) -> None:
    parts = random_history(3)
    results = open_results(write_parts(tmp_path, *parts))
    rows = latest_of(parts)
    named = {row.photo.source for row in rows[::3]}
    sources = [batch["source"].to_pylist() for batch in results.scan(["source"], sources=[*named, "/elsewhere"])]
    expected = faces_of([row for row in rows if row.photo.source in named])
    assert [source for batch in sources for source in batch] == [face["source"] for face in expected]
    assert sum(batch.num_rows for batch in results.scan_photos(sources=named)) == len(named)
    assert list(results.scan(sources=[])) == []


def test_embeddings_come_with_what_identifies_their_faces(tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path, *random_history(4)))
    faces = results.faces(["source", "face_index", "embedding"])
    batches = list(results.embeddings(batch_rows=10))
    assert pa.Table.from_batches([batch for batch, _ in batches]).equals(faces.drop_columns("embedding"))
    found = np.concatenate([numbers for _, numbers in batches])
    assert (found.dtype, found.shape) == (np.float32, (faces.num_rows, 8))
    assert found.tolist() == faces["embedding"].to_pylist()
    assert {len(numbers) for _, numbers in batches[:-1]} == {10}


def test_results_say_what_made_them(tmp_path: Path) -> None:
    results = open_results(str(write_parts(tmp_path, [row_of("/a.jpg")])))
    assert results.info.models == SERVED.models
    assert results.info.runtime == "fake 1"
    assert results.labels == {"gender": ["female", "male"]}
    assert results.infos == (results.info,)


def test_photos_without_any_face_give_empty_tables(tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path, [row_of("/a.jpg", 0)]))
    assert (results.photos().num_rows, results.faces().num_rows, list(results.scan())) == (1, 0, [])
    assert results.faces().schema.field("embedding").type.list_size == 8
    assert list(results.embeddings()) == []


def test_results_without_embeddings_have_all_the_rest(tmp_path: Path) -> None:
    write_parts(tmp_path, [row_of("/a.jpg", 2, served=WITHOUT_EMBEDDINGS)], served=WITHOUT_EMBEDDINGS)
    results = open_results(tmp_path)
    assert results.faces().num_rows == 2
    assert "embedding" not in results.faces().column_names
    with pytest.raises(InvalidInputError, match=r"holds no embeddings: .*--no-embedding"):
        results.embeddings()


def test_columns_that_are_not_there_are_refused(tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path, [row_of("/a.jpg")]))
    with pytest.raises(InvalidInputError, match=r"has no ethnicity, x9; expected some of source, .*embedding"):
        results.scan(["x0", "ethnicity", "x9"])
    with pytest.raises(InvalidInputError, match=r"no faces; expected some of source, bytes"):
        results.scan_photos(["source", "faces"])


def test_parts_with_other_columns_of_faces_are_refused(tmp_path: Path) -> None:
    write_parts(tmp_path, [row_of("/a.jpg")])
    write_parts(tmp_path, [row_of("/b.jpg", served=WITHOUT_EMBEDDINGS)], served=WITHOUT_EMBEDDINGS)
    results = open_results(tmp_path)
    with pytest.raises(ResultsError, match=r"part-000001.parquet differs .* faces embedding; keep them in different"):
        results.faces()
    assert results.faces(["source", "x0"]).num_rows == 2
    write_parts(tmp_path, [row_of("/c.jpg")])
    with pytest.raises(ResultsError, match=r"part-000002.parquet has no embedding; .*keep them in different"):
        list(open_results(tmp_path).scan(["embedding"]))


def test_parts_of_two_model_sets_are_refused_unless_the_caller_allows_them(tmp_path: Path) -> None:
    other = replace(SERVED, models=replace(SERVED.models, model_set_id="set-2"))
    write_parts(tmp_path, [row_of("/a.jpg")])
    write_parts(tmp_path, [row_of("/b.jpg")], served=other)
    with pytest.raises(ResultsError, match=r"2 model sets \(set-1, set-2\); keep them apart"):
        open_results(tmp_path)
    results = open_results(tmp_path, mixed_sets=True)
    assert [info.models.model_set_id for info in results.infos] == ["set-1", "set-2"]
    assert results.faces(["model_set_id"])["model_set_id"].to_pylist() == ["set-1", "set-2"]


@pytest.mark.parametrize("given", ["empty", "missing"])
def test_a_folder_without_parts_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no parts"):
        open_results(tmp_path if given == "empty" else tmp_path / "nowhere")


def test_an_interrupted_refresh_is_refused(tmp_path: Path) -> None:
    write_parts(tmp_path, [row_of("/a.jpg")])
    staging = tmp_path / ".refresh-set-2"
    staging.mkdir()
    (staging / "plan.json").write_text('{"mode": "heads", "served": {"pack": "other"}}')
    with pytest.raises(ResultsError, match=r"a refresh of .* to model set set-2 \(other\) was interrupted"):
        open_results(tmp_path)


def test_parts_that_change_while_they_are_read_are_refused(tmp_path: Path) -> None:
    write_parts(tmp_path, [row_of("/a.jpg")], [row_of("/b.jpg")])
    results = open_results(tmp_path)
    assert results.num_photos == 2
    write_parts(tmp_path, [row_of("/c.jpg")])
    assert results.faces().num_rows == 2
    write_parts(tmp_path / "other", [row_of("/c.jpg"), row_of("/d.jpg")])
    (first, *_), (longer,) = part_paths(tmp_path), part_paths(tmp_path / "other")
    longer.replace(first)
    with pytest.raises(ResultsError, match="was changed while it was read; run again"):
        results.faces()
    first.unlink()
    with pytest.raises(ResultsError, match="part-000001"):
        results.photos()


def test_a_scan_holds_a_batch_and_not_the_folder(tmp_path: Path) -> None:
    parts = [[row_of(f"/{part}/{row}.jpg", 20) for row in range(20)] for part in range(40)]
    results = open_results(write_parts(tmp_path, *parts))
    before = pa.total_allocated_bytes()
    total = most = 0
    for batch in results.scan(batch_rows=500):
        total += batch.nbytes
        most = max(most, pa.total_allocated_bytes() - before)
    assert total > 2_000_000
    assert most < total / 4


def test_photos_are_counted_in_a_batch_at_a_time(tmp_path: Path) -> None:
    parts = [[row_of(f"/{part}/{row}/{'x' * 2000}.jpg", 1) for row in range(50)] for part in range(40)]
    results = open_results(write_parts(tmp_path, *parts))
    before = pa.total_allocated_bytes()
    total = most = num_faces = 0
    for batch in results.scan_photos(batch_rows=200):
        total += batch.nbytes
        num_faces += sum(batch["num_faces"].to_pylist())
        most = max(most, pa.total_allocated_bytes() - before)
    assert num_faces == 2000
    assert total > 4_000_000
    assert most < total / 4
    assert next(results.scan_photos(["num_faces", "source"])).schema.names == ["num_faces", "source"]


def test_the_table_has_row_groups_of_many_parts(tmp_path: Path) -> None:
    path = build_table(write_parts(tmp_path, *([row_of(f"/{part}.jpg", 3)] for part in range(10))))
    assert pq.read_metadata(path).num_row_groups == 1


def test_importing_the_package_does_not_load_pyarrow() -> None:
    program = (
        "import sys, fsdata.results, fsdata.results.status\n"
        "assert 'pyarrow' not in sys.modules\n"
        "assert fsdata.results.open_results.__name__ == 'open_results'\n"
        "assert 'pyarrow' in sys.modules\n"
        "try: fsdata.results.nothing\n"
        "except AttributeError as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "no attribute 'nothing'" in done.stdout


def test_parts_of_before_a_column_read_as_null_there(tmp_path: Path) -> None:
    converted = replace(row_of("/photos/b.heic"), converted="HEIC")
    old, new = part_paths(write_parts(tmp_path, [row_of("/photos/a.jpg")], [converted, row_of("/photos/c.jpg")]))
    pq.write_table(pq.read_table(old).drop_columns(["converted"]), old)
    results = open_results(tmp_path)
    assert results.photos()["converted"].to_pylist() == [None, "HEIC", None]
    assert next(results.scan_photos(["converted", "source"])).column_names == ["converted", "source"]
    assert results.faces(["source"]).num_rows == 3
    for path in (old, new):
        with open_part(path) as part:
            assert next(part.groups()).schema.names == part.schema.names == list(COLUMNS)


def test_what_cannot_be_asked_for_is_named(tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path, *random_history(1)))
    calls = [
        lambda: results.scan(batch_rows=0),
        lambda: results.scan_photos(batch_rows=-1),
        lambda: results.scan_photos([]),
        lambda: results.scan([]),
        lambda: results.scan("source"),
        lambda: results.faces("source"),
        lambda: results.scan(sources="/photos/one.jpg"),
        lambda: results.scan(["source"], sources=["\ud800"]),
        lambda: results.embeddings(batch_rows=0),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError, match="expected"):
            call()
    one = results.photos()["source"][0].as_py()
    assert len(list(results.scan_photos(["source"], sources=[Path(one)]))) == 1  # type: ignore[list-item]
    (batch, numbers), *_ = results.embeddings(["embedding", "source"])
    assert (batch.schema.names, len(numbers)) == (["source"], batch.num_rows)


def test_a_folder_whose_name_is_no_utf_8_is_written_continued_and_read(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/out\xff"))
    folder.mkdir()
    write_parts(folder, *random_history(1))
    assert open_results(folder).num_photos
    with build_table(folder).open("rb") as table:
        assert pq.read_table(table).num_rows == open_results(folder).faces().num_rows
    assert len(read_ledger(folder))
