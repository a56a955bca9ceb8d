"""The ledger answers as a dict of all keys would, in a fraction of its memory."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fsdata.results.digests import LastRows, source_digests
from fsdata.results.latest import photos_at
from fsdata.results.ledger import PhotoKey, read_ledger
from fsdata.results.parts import part_paths
from fsdata.results.rows import PhotoRow
from fsdata.results.status import Status
from fsengine.errors import ResultsError
from fsengine.files.stores.object_state import ObjectState
from results_for_tests import random_history, row_of, write_parts


def state(num_bytes: int, mtime_ns: int) -> ObjectState:
    return ObjectState(num_bytes=num_bytes, mtime_ns=mtime_ns, etag=None)


def key_of(row: PhotoRow) -> PhotoKey:
    return row.photo.source, state(row.photo.num_bytes, row.photo.mtime_ns)


@pytest.mark.parametrize("seed", range(8))
def test_the_ledger_equals_a_dict_of_the_last_rows(seed: int, tmp_path: Path) -> None:
    parts = random_history(seed)
    last = {row.photo.source: row for part in parts for row in part}
    rows = [row for part in parts for row in part]
    expected = {key_of(row): row.status for row in rows if row is last[row.photo.source]}
    ledger = read_ledger(write_parts(tmp_path, *parts))
    keys = [*map(key_of, rows), ("/photos/elsewhere.jpg", state(1, 1)), ("", state(0, 0))]
    random.Random(seed).shuffle(rows)
    assert ledger.statuses_of(keys) == [expected.get(key) for key in keys]
    assert ledger.statuses_of(keys[:5]) == [expected.get(key) for key in keys[:5]]
    assert len(ledger) == len(last) < len(rows)


def test_a_folder_without_parts_knows_no_photo(tmp_path: Path) -> None:
    ledger = read_ledger(tmp_path)
    assert (len(ledger), ledger.info, ledger.statuses_of([])) == (0, None, [])
    assert ledger.statuses_of([("/a.jpg", state(1, 1))]) == [None]


def test_the_ledger_takes_tens_of_bytes_for_a_photo(tmp_path: Path) -> None:
    write_parts(tmp_path, [row_of(f"/photos/of/some/length/{number}.jpg", 0) for number in range(20_000)])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ledger = read_ledger(tmp_path)
        held, peak = (number - before for number in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    assert len(ledger) == 20_000
    assert held < 20_000 * 40
    assert peak < 20_000 * 110


def test_an_unknown_status_is_named(tmp_path: Path) -> None:
    (path,) = part_paths(write_parts(tmp_path, [row_of("/a.jpg"), row_of("/b.jpg")]))
    whole = pq.read_table(path)
    at = whole.column_names.index("status")
    pq.write_table(whole.set_column(at, whole.schema.field(at), pa.array(["ok", "blurred"])), path)
    with pytest.raises(ResultsError, match=r"part-000001\.parquet holds the status 'blurred', expected one of ok, "):
        read_ledger(tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_the_last_row_of_each_digest_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [f"source {n}" for n in rng.integers(0, 50, 300)]
    chunks = [source_digests(texts[:100]), source_digests([]), source_digests(pa.array(texts).slice(100))]
    rows = LastRows(chunks)
    expected = {text: number for number, text in enumerate(texts)}
    assert chunks == []
    assert (len(rows), rows.num_rows) == (len(expected), 300)
    asked = [*expected, "another"]
    assert rows.find(source_digests(asked)).tolist() == [*expected.values(), -1]
    assert np.flatnonzero(rows.mask()).tolist() == sorted(expected.values())


def test_digests_of_texts_and_of_arrow_strings_are_the_same() -> None:
    texts = ["", "a", "ä" * 100, "a" * 5000, "a\0"]
    assert (source_digests(texts) == source_digests(pa.array(texts))).all()


def test_digests_that_share_a_half_are_different_ones() -> None:
    digests = np.array([[7, 1], [7, 9], [7, 1], [0, 0], [8, 1], [7, 5]], np.uint64)
    rows = LastRows([digests[:2], digests[2:]])
    assert (len(rows), rows.find(digests).tolist()) == (5, [2, 1, 2, 3, 4, 5])
    assert rows.mask().tolist() == [False, True, True, True, True, True]
    others = np.array([[7, 0], [7, 4], [7, 10], [8, 0], [8, 2], [9, 1], [0, 1]], np.uint64)
    assert rows.find(others).tolist() == [-1] * 7


def test_the_last_row_of_a_photo_tells_the_state_that_it_is_known_in(tmp_path: Path) -> None:
    first = row_of("/a.jpg", status=Status.OK, mtime_ns=1)
    write_parts(tmp_path, [first], [row_of("/a.jpg", 0, status=Status.CORRUPT, mtime_ns=2)])
    keys = [("/a.jpg", state(1, 1)), ("/a.jpg", state(1, 2)), ("/a.jpg", state(2, 1))]
    assert read_ledger(tmp_path).statuses_of(keys) == [None, Status.CORRUPT, None]


def test_an_etag_tells_a_state_whatever_the_time_and_the_size(tmp_path: Path) -> None:
    row = row_of("s3://photos/a.jpg", mtime_ns=5)
    write_parts(tmp_path, [replace(row, photo=replace(row.photo, etag='"e1"'))])
    ledger = read_ledger(tmp_path)
    states = [ObjectState(9, 9, '"e1"'), ObjectState(1, 5, '"e2"'), ObjectState(1, 5, None)]
    assert ledger.statuses_of([("s3://photos/a.jpg", one) for one in states]) == [Status.OK, None, None]


def test_photos_that_nobody_asked_for_are_known(tmp_path: Path) -> None:
    write_parts(tmp_path, [row_of("/a.jpg"), row_of("/b.jpg")], [row_of("/a.jpg", mtime_ns=2), row_of("/c.jpg")])
    ledger = read_ledger(tmp_path)
    assert ledger.unmet_rows().tolist() == [1, 2, 3]
    assert ledger.rows_of(["/a.jpg", "/elsewhere.jpg", "/b.jpg"]).tolist() == [2, -1, 1]
    assert ledger.unmet_rows().tolist() == [3]
    (table,) = photos_at(ledger.paths, ledger.starts, ledger.unmet_rows(), ["source"])
    assert table["source"].to_pylist() == ["/c.jpg"]
