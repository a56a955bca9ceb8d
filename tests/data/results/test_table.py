from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsclient.commands.results_text import info_blocks
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.resume import find_inputs
from fsclient.ingest.settings import IngestConfig
from fsclient.testing import FakeBackend, answer
from fsdata.results.master_table import build_table, describe
from fsdata.results.parts import locked
from fsengine.errors import InvalidInputError
from fsengine.terminal.tables import plain_text


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
        asyncio.run(ingest_photos(config, find_inputs(config).paths, FakeBackend(two_faces), lambda _: None))


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
    (count, width) = duckdb.sql(f"select count(*), max(len(embedding)) from '{path}'").fetchall()[0]
    assert (count, width) == (6, 8)
    similar = duckdb.sql(
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
        "demonstration: detect",
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
