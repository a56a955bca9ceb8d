from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from fsclient.cli import main
from fsclient.commands.results.results_text import info_blocks
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsclient.score.answers import scored_photo
from fsclient.testing import FakeBackend, answer
from fsdata.results.master_table import build_table, describe
from fsdata.results.parts import locked, part_paths
from fsdata.results.rows import PhotoRow
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError
from fsengine.terminal.tables import plain_text
from results_for_tests import SERVED, latest_of, random_history, row_of, write_parts


def write_photos(folder: Path, shades: dict[str, int]) -> None:
    folder.mkdir(exist_ok=True)
    for name, shade in shades.items():
        buffer = io.BytesIO()
        Image.new("L", (8, 8), shade).save(buffer, "PNG")
        (folder / name).write_bytes(buffer.getvalue())


def two_faces(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    shade = np.asarray(Image.open(io.BytesIO(data)))[0, 0] / 255
    num_faces = 2 if shade > 0 else 0
    arrays = answer(num_faces, outputs, float(shade))
    if num_faces:
        arrays["gender_probability"] = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    return arrays


def run(folder: Path, out: Path) -> None:
    with locked(out):
        config = IngestConfig(sources=(str(folder),), out=out, part_size=2)
        asyncio.run(
            ingest_photos(config, plan_ingest(config, find_inputs(config)), FakeBackend(two_faces), lambda *_: None)
        )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Four photos in two parts; one has no face, the others two each; one was changed and done again."""
    write_photos(tmp_path / "photos", {"a.png": 0, "b.png": 51, "c.png": 102, "d.png": 153})
    run(tmp_path / "photos", tmp_path / "out")
    write_photos(tmp_path / "photos", {"b.png": 255})
    os.utime(tmp_path / "photos" / "b.png", ns=(5, 5))
    run(tmp_path / "photos", tmp_path / "out")
    return tmp_path / "out"


def test_the_table_has_a_row_per_face_and_the_latest_row_of_a_photo_counts(results: Path) -> None:
    table = pq.read_table(build_table(results)).to_pylist()
    faces = {(os.path.basename(row["source"]), row["face_index"]): row for row in table}
    assert sorted(faces) == [(name, index) for name in ("b.png", "c.png", "d.png") for index in (0, 1)]
    assert faces["b.png", 0]["x0"] == 1.0
    assert [faces["c.png", 0]["gender"], faces["c.png", 1]["gender"]] == ["female", "male"]
    assert faces["c.png", 1]["embedding"] == pytest.approx([0.4] * 8)


def test_every_reader_takes_it_without_ceremony(results: Path) -> None:
    path = build_table(results)
    database = duckdb.connect()
    (count, width) = database.execute(f"select count(*), max(len(embedding)) from '{path}'").fetchall()[0]
    assert (count, width) == (6, 8)
    similar = database.execute(
        f"select array_cosine_similarity(a.embedding::FLOAT[8], a.embedding::FLOAT[8]) from '{path}' a"
    ).fetchall()
    assert similar[0][0] == pytest.approx(1.0)
    frame = pl.read_parquet(path)
    assert frame["embedding"].to_numpy().shape == (6, 8)
    assert np.stack(pd.read_parquet(path)["embedding"]).shape == (6, 8)


def test_embeddings_are_fixed_size_lists_without_dictionary_or_statistics(results: Path) -> None:
    path = build_table(results)
    embedding = pq.read_schema(path).field("embedding").type
    assert (embedding.list_size, embedding.value_type) == (8, pa.float32())
    group = pq.read_metadata(path).row_group(0)
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema.startswith("embedding"):
            assert not column.is_stats_set
            assert not any("DICTIONARY" in encoding for encoding in column.encodings)


def test_a_folder_of_results_reads_as_parts_alone(results: Path) -> None:
    build_table(results)
    assert set(pq.read_table(results).column_names) >= {"source", "status", "reason", "faces"}


def test_info_says_what_is_there_and_whether_the_table_is_current(results: Path, tmp_path: Path) -> None:
    assert "not built" in plain_text(info_blocks(describe(results)))
    build_table(results)
    text = plain_text(info_blocks(describe(results)))
    for expected in (
        "4 in 3 parts",
        "3 ok",
        "1 no_face",
        "untrained weights: detect",
        "female, male",
        "6 rows",
        "embedding",
    ):
        assert expected in text
    write_photos(tmp_path / "photos", {"e.png": 200})
    run(tmp_path / "photos", results)
    assert "not built" in plain_text(info_blocks(describe(results)))


def test_photos_without_any_face_make_an_empty_table(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", {"a.png": 0})
    run(tmp_path / "photos", tmp_path / "out")
    table = pq.read_table(build_table(tmp_path / "out"))
    assert table.num_rows == 0
    assert table.schema.field("embedding").type.list_size == 8
    assert "(none)" in plain_text(info_blocks(describe(tmp_path / "out")))


def test_a_folder_without_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no parts"):
        build_table(tmp_path)


def test_photos_have_a_table_of_their_own(results: Path) -> None:
    path = build_table(results).with_name("photos.parquet")
    photos = {os.path.basename(row["source"]): row for row in pq.read_table(path).to_pylist()}
    assert sorted(photos) == ["a.png", "b.png", "c.png", "d.png"]
    assert {name: photo["num_faces"] for name, photo in photos.items()} == {
        "a.png": 0,
        "b.png": 2,
        "c.png": 2,
        "d.png": 2,
    }
    assert photos["b.png"]["mtime_ns"] == 5
    stored = set(pq.read_table(results).column_names) - {"faces"}
    assert set(photos["a.png"]) == stored | {"num_faces"}
    assert "served" in json.loads(pq.read_schema(path).metadata[b"facestats"])


@pytest.mark.parametrize("seed", range(3))
def test_the_table_of_photos_is_what_a_dict_finds(seed: int, tmp_path: Path) -> None:
    parts = random_history(seed)
    photos = pq.read_table(build_table(write_parts(tmp_path, *parts)).with_name("photos.parquet")).to_pylist()
    found = [(row["source"], row["status"], row["infer_ms"], row["num_faces"]) for row in photos]
    assert found == [(row.photo.source, row.status.value, row.infer_ms, row.num_faces) for row in latest_of(parts)]


def test_the_table_is_an_old_one_after_any_change_of_the_parts(tmp_path: Path) -> None:
    write_parts(tmp_path, [row_of("/a.jpg")], [row_of("/b.jpg")])
    first, second = part_paths(tmp_path)
    for change in (
        lambda: write_parts(tmp_path, [row_of("/c.jpg")]),
        lambda: second.unlink(),
        lambda: first.write_bytes(first.read_bytes()),
        lambda: (tmp_path / "_table" / "photos.parquet").unlink(),
    ):
        build_table(tmp_path)
        assert describe(tmp_path).table is not None
        change()
        assert describe(tmp_path).table is None


def test_info_of_parts_of_which_a_later_one_replaces_every_row(tmp_path: Path) -> None:
    failed = [row_of(f"/{name}.jpg", 0, status=Status.FAILED) for name in "ab"]
    write_parts(tmp_path, failed, [row_of("/a.jpg", 2), row_of("/b.jpg", 0)])
    build_table(tmp_path)
    text = plain_text(info_blocks(describe(tmp_path)))
    assert "2 in 2 parts: 1 ok, 1 no_face" in text
    assert "not scored" not in text
    assert "2 rows" in text


def test_copies_are_counted_by_content(tmp_path: Path) -> None:
    def copy(name: str, content: str, status: Status | None = None) -> PhotoRow:
        row = row_of(name, 0, status=status)
        return replace(row, photo=replace(row.photo, content_hash=content))

    rows = [copy("/a", "1"), copy("/b", "1"), copy("/c", "2"), copy("/d", "1")]
    empty = [copy(f"/{n}.txt", "3", Status.UNSUPPORTED) for n in range(9)]
    write_parts(tmp_path / "one", [copy("/a", "1"), copy("/b", "1"), *empty])
    write_parts(tmp_path / "two", rows, [copy("/c", "2")])
    assert "1 photo is a copy of another" in plain_text(info_blocks(describe(tmp_path / "one")))
    assert "2 photos are copies of others" in plain_text(info_blocks(describe(tmp_path / "two")))
    write_parts(tmp_path / "none", [copy("/a", "1")], [copy("/a", "1")])
    none = plain_text(info_blocks(describe(tmp_path / "none")))
    assert "copy of" not in none
    assert "copies of" not in none


def info_of(*arguments: str | Path) -> str:
    done = CliRunner().invoke(main, ["table", "info", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_failures_are_listed_with_status_size_and_reason(tmp_path: Path) -> None:
    bad = replace(row_of("/b\x1b[31m\n.jpg", 0, status=Status.CORRUPT, num_bytes=1234), reason="it ends\ntoo soon")
    gone = replace(row_of("/gone.jpg", 0, status=Status.FAILED, num_bytes=-1), reason="cannot be read", width=None)
    many = [replace(row_of(f"/{n}.txt", 0, status=Status.UNSUPPORTED), width=None, reason="text") for n in range(30)]
    write_parts(tmp_path, [row_of("/a.jpg"), row_of("/c.jpg", 0), row_of("/0.txt")], [bad, gone, *many])
    everything = info_of(tmp_path, "--failures")
    assert everything == info_of("--failures", tmp_path)
    lines = everything.splitlines()
    assert lines[0] == "32 photos of 34 not scored"
    assert lines[1].split() == ["status", "bytes", "pixels", "photo", "reason"]
    assert lines[2].split() == [
        *("corrupt", "1,234", "bytes", "640", "x", "480", "px", r"/b\x1b[31m\n.jpg", r"it", r"ends\ntoo", "soon")
    ]
    assert lines[3].split() == ["failed", "/gone.jpg", "cannot", "be", "read"]
    assert len(lines) == 34
    assert not any("/a.jpg" in line or "/c.jpg" in line for line in lines)
    some = info_of(tmp_path, "--failures", "3").splitlines()
    assert [line.split() for line in some[:5]] == [line.split() for line in lines[:5]]
    assert some[5:] == ["  and 29 more"]
    assert f"32 photos not scored: table info {tmp_path} --failures" in info_of(tmp_path)
    write_parts(tmp_path / "fine", [row_of("/a.jpg")])
    assert info_of(tmp_path / "fine", "--failures") == "every photo is ok or has no face (1 photo)\n"


@pytest.mark.parametrize("name", ["out", "it's [1] \"*x"])
def test_what_info_says_of_reading_the_files_is_true(results: Path, name: str) -> None:
    folder = results.rename(results.with_name(name))
    build_table(folder)
    lines = [line.strip() for line in info_of(folder).splitlines()]
    shown = lines[lines.index("read it") + 1 :]
    files = [line.rsplit("  ", 1)[0].strip() for line in shown[:3]]
    assert files == [f"{folder}/_table/faces.parquet", f"{folder}/_table/photos.parquet", f"{folder}/part-*.parquet"]
    snippets = shown[3:]
    libraries = {"duckdb": duckdb, "polars": pl, "pandas": pd, "pyarrow": pa}
    assert [snippet.split(".")[0] for snippet in snippets] == [*libraries, *libraries]
    of_photos = [line.replace("faces.parquet", "photos.parquet") for line in snippets[:4]]
    num_rows = [eval(snippet, dict(libraries)).shape[0] for snippet in (*snippets, *of_photos)]
    # Faces, parts with the earlier row of a photo that was done again, and photos.
    assert num_rows == [6] * 4 + [5] * 4 + [4] * 4


def test_a_class_below_its_threshold_is_uncertain_as_in_the_library(tmp_path: Path) -> None:
    models = replace(SERVED.models, thresholds={"gender": 0.7})
    served = replace(SERVED, models=models)
    # 0.7 in float32 is less than 0.7.
    probabilities = np.array([[0.7, 0.3], [0.3, 0.71], [0.6, 0.4]], np.float32)
    row = row_of("/a.jpg", 3)
    row = replace(row, faces={**row.faces, "gender_probability": probabilities})
    table = pq.read_table(build_table(write_parts(tmp_path, [row], served=served)))
    assert table["gender"].to_pylist() == ["uncertain", "male", "uncertain"]
    assert table["gender"].to_pylist() == [face.gender for face in scored_photo(row, models).faces]
    assert "uncertain" in plain_text(info_blocks(describe(tmp_path)))
