"""The ledger answers as a dict of all keys would, in a fraction of its memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fsdata.results.digests import LastRows, photo_digests, source_digests
from fsdata.results.ledger import PhotoKey, read_ledger
from fsdata.results.parts import part_paths
from fsdata.results.rows import PhotoRow
from fsdata.results.status import Status
from fsengine.errors import ResultsError
from results_for_tests import random_history, row_of, write_parts


def key_of(row: PhotoRow) -> PhotoKey:
    return row.photo.source, row.photo.num_bytes, row.photo.mtime_ns


@pytest.mark.parametrize("seed", range(8))
def test_the_ledger_equals_a_dict(seed: int, tmp_path: Path) -> None:
    parts = random_history(seed)
    expected = {key_of(row): row.status for part in parts for row in part}
    assert len(expected) < 200
    ledger = read_ledger(write_parts(tmp_path, *parts))
    keys = [*expected, ("/photos/elsewhere.jpg", 1, 1), ("", 0, 0)]
    keys += [(source, num_bytes + 5, mtime_ns) for source, num_bytes, mtime_ns in expected]
    np.random.default_rng(seed).shuffle(keys)
    keys = [(str(source), int(num_bytes), int(mtime_ns)) for source, num_bytes, mtime_ns in keys]
    assert ledger.statuses_of(keys) == [expected.get(key) for key in keys]
    assert ledger.statuses_of(keys[:5]) == [expected.get(key) for key in keys[:5]]
    assert len(ledger) == len(expected)


def test_a_folder_without_parts_knows_no_photo(tmp_path: Path) -> None:
    ledger = read_ledger(tmp_path)
    assert (len(ledger), ledger.info, ledger.statuses_of([])) == (0, None, [])
    assert ledger.statuses_of([("/a.jpg", 1, 1)]) == [None]


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
    assert held < 20_000 * 30
    assert peak < 20_000 * 80


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
    numbers = np.array([-1, 0, 1, 2**62, -(2**63)], np.int64)
    assert (source_digests(texts) == source_digests(pa.array(texts))).all()
    assert (photo_digests(texts, numbers, numbers) == photo_digests(pa.array(texts), numbers, numbers)).all()
    assert len({*map(tuple, photo_digests(["a", "a", "a"], np.array([1, 2, 1]), np.array([2, 1, 1])).tolist())}) == 3


def test_digests_that_share_a_half_are_different_ones() -> None:
    digests = np.array([[7, 1], [7, 9], [7, 1], [0, 0], [8, 1], [7, 5]], np.uint64)
    rows = LastRows([digests[:2], digests[2:]])
    assert (len(rows), rows.find(digests).tolist()) == (5, [2, 1, 2, 3, 4, 5])
    assert rows.mask().tolist() == [False, True, True, True, True, True]
    others = np.array([[7, 0], [7, 4], [7, 10], [8, 0], [8, 2], [9, 1], [0, 1]], np.uint64)
    assert rows.find(others).tolist() == [-1] * 7


def test_the_states_of_a_photo_are_told_apart(tmp_path: Path) -> None:
    first = row_of("/a.jpg", status=Status.OK, mtime_ns=1)
    write_parts(tmp_path, [first], [row_of("/a.jpg", 0, status=Status.CORRUPT, mtime_ns=2)])
    keys = [("/a.jpg", 1, 1), ("/a.jpg", 1, 2), ("/a.jpg", 2, 1)]
    assert read_ledger(tmp_path).statuses_of(keys) == [Status.OK, Status.CORRUPT, None]
