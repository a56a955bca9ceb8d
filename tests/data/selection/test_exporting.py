"""Faces as files: every number comes back, and what is asked for is what is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from fsclient.cli import main
from fsdata.results import open_results
from fsdata.selection.selected_faces import select_faces
from results_for_tests import row_of, write_parts

pytest.importorskip("duckdb", reason="DuckDB is missing: pip install 'facestats[analysis]'")

HOSTILE = '/photos/a, "b"\n;=1+1 é.jpg'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parts = tmp_path / "results"
    parts.mkdir()
    return write_parts(
        parts, [row_of("/photos/z.jpg", 2, value=0.1), row_of(HOSTILE, 1, value=1 / 3), row_of("/photos/none.jpg", 0)]
    )


def export(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["table", "export", str(folder), *words])


def test_lines_of_json_hold_every_column_and_every_digit(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.jsonl"
    done = export(folder, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "wrote 3 faces" in done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    faces = select_faces(open_results(folder))
    assert [row["source"] for row in rows] == faces["source"].to_pylist() == [HOSTILE, "/photos/z.jpg", "/photos/z.jpg"]
    assert list(rows[0]) == faces.column_names
    for name in ("x0", "embedding", "landmarks"):
        expected = np.array(faces[name].to_pylist(), np.float32)
        np.testing.assert_array_equal(np.array([row[name] for row in rows], np.float32), expected)


def test_csv_is_read_back_whatever_a_path_holds(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.csv"
    assert export(folder, "--out", str(out)).exit_code == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == [HOSTILE, "/photos/z.jpg", "/photos/z.jpg"]
    assert "embedding" not in rows[0]
    assert np.float32(rows[0]["x0"]) == np.float32(1 / 3)
    assert len(json.loads(rows[0]["landmarks"])) == 10


def test_columns_and_rows_that_are_asked_for(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.parquet"
    words = ["--where", "face_index = 1", "--columns", "face_index, source", "--out", str(out)]
    assert export(folder, *words).exit_code == 0
    table = pq.read_table(out)
    assert table.to_pylist() == [{"face_index": 1, "source": "/photos/z.jpg"}]
    assert export(folder, *words).exit_code != 0  # it is there
    assert export(folder, *words, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "faces.xls"], "--format"),
        (["--out", "faces.csv", "--columns", "gendr"], "gendr"),
        (["--out", "faces.csv", "--where", "gendr = 1"], "did you mean gender"),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is_left(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = export(folder, *words)
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
