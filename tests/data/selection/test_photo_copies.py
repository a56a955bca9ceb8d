"""Copies and near duplicates of photos: exact within the stated distance, and around a first photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fsdata.results import open_results
from fsdata.selection.kept_crops import CROPS_FOLDER, bits_apart
from fsdata.selection.photo_copies import _leaders, find_copies, find_near_duplicates, near_pairs
from fsengine.errors import InvalidInputError, ResultsError
from results_for_tests import row_of, write_parts


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 6, 8])
def test_pairs_are_those_of_comparing_each_with_each(distance: int) -> None:
    rng = np.random.default_rng(distance)
    seeds = rng.integers(0, 1 << 63, 60, dtype=np.int64).astype(np.uint64)
    near = [seed ^ np.uint64(1 << int(rng.integers(64))) ^ np.uint64(1 << int(rng.integers(64))) for seed in seeds]
    further = [seed ^ np.uint64(rng.integers(1 << 20)) for seed in seeds]
    values = np.unique(np.array([*seeds, *near, *further], np.uint64))
    found = {tuple(sorted(pair)) for pair in near_pairs(values, distance)}
    apart = bits_apart(values[:, None], values[None])
    assert found == {(int(a), int(b)) for a, b in zip(*np.nonzero(np.triu(apart <= distance, 1)), strict=True)}


def test_bits_are_counted() -> None:
    assert bits_apart(np.array([0, 0, 5], np.uint64), np.array([0, (1 << 64) - 1, 6], np.uint64)).tolist() == [0, 64, 2]


def test_no_chain_of_small_steps_joins_what_is_far_apart() -> None:
    chain = np.array([0, 0b11, 0b1111, 0b111111, 0b11111111], np.uint64)
    leaders = _leaders(chain, np.arange(len(chain)), 2)
    assert bits_apart(chain, chain[leaders]).max() <= 2
    assert leaders.tolist() == [0, 0, 2, 2, 4]


def test_copies_are_grouped_the_largest_first(tmp_path: Path) -> None:
    rows = [row_of(f"/p/{name}.jpg") for name in "abcdefg"]
    for row, content in zip(rows, ("1", "2", "1", "3", "2", "2", "4"), strict=True):
        object.__setattr__(row.photo, "content_hash", content)
    results = open_results(write_parts(tmp_path / "results", rows))
    found = find_copies(results)
    assert [(row["group"], row["source"]) for row in found.to_pylist()] == [
        *((0, f"/p/{name}.jpg") for name in "bef"),
        *((1, f"/p/{name}.jpg") for name in "ac"),
    ]


def test_without_crops_near_duplicates_say_what_to_do(tmp_path: Path) -> None:
    results = open_results(write_parts(tmp_path / "results", [row_of("/p/a.jpg")]))
    assert find_copies(results).num_rows == 0
    with pytest.raises(InvalidInputError, match="fsclient crops"):
        find_near_duplicates(results)
    with pytest.raises(InvalidInputError, match="expected 0 to 6"):
        find_near_duplicates(results, 7)


def test_crops_of_before_there_were_hashes_are_to_be_made_anew(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "results", [row_of("/p/a.jpg")])
    (folder / CROPS_FOLDER).mkdir()
    pq.write_table(pa.table({"source": ["/p/a.jpg"]}), folder / CROPS_FOLDER / "crops-000001.parquet")
    with pytest.raises(ResultsError, match="of this version; remove"):
        find_near_duplicates(open_results(folder))
