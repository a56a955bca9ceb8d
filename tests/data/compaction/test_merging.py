"""The parts of shards come into one new folder, which is there as a whole or not at all; the shards stay."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from compaction_for_tests import counting_rows, stored
from fsclient.cli import main
from fsdata.compaction.merging import merge, plan_merge
from fsdata.results import open_results
from fsdata.results.parts import locked, part_paths
from fsengine.errors import InvalidInputError, ResultsError
from killed_at_changes import killed_at_every_change
from results_for_tests import SERVED, random_history, row_of, write_parts

MERGE = "from fsdata.compaction.merging import merge as act; act([out / 'a', out / 'b'], out / 'all', part_size=2)"


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Return two shards of seven and five photos, some of them done twice."""
    parts = [[row_of(f"/a/{n}", n % 3)] for n in range(7)]
    folder = write_parts(tmp_path / "a", *parts, [row_of("/a/2", value=2.0)])
    return [folder, write_parts(tmp_path / "b", [row_of(f"/b/{n}") for n in range(5)], [row_of("/b/4", 0)])]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_new_folder_holds_the_rows_of_all_and_they_stay(tmp_path: Path, shards: list[Path]) -> None:
    before = [contents(folder) for folder in shards]
    done = merge(shards, tmp_path / "new" / "all", part_size=8)
    rows = stored(tmp_path / "new" / "all")
    assert {row["source"]: row for row in rows} == counting_rows(*shards)
    assert (len(rows), done.num_photos, done.num_dropped) == (12, 12, 2)
    assert (done.parts_before, done.parts_after) == (10, 2)
    assert done.bytes_after == sum(path.stat().st_size for path in part_paths(tmp_path / "new" / "all"))
    assert [contents(folder) for folder in shards] == before
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["all"]
    visible = [path.name for path in (tmp_path / "new" / "all").iterdir() if path.name != ".facestats.lock"]
    assert sorted(visible) == ["part-000001.parquet", "part-000002.parquet"]


@pytest.mark.parametrize("seed", range(3))
def test_of_a_photo_that_several_hold_the_row_of_the_last_folder_counts(tmp_path: Path, seed: int) -> None:
    folders = [write_parts(tmp_path / str(n), *random_history(seed + n)) for n in range(3)]
    for order in (folders, folders[::-1]):
        out = tmp_path / f"all-{order[0].name}"
        merge([*order, order[0]], out, part_size=20)
        assert counting_rows(out) == counting_rows(*order)
        assert len(stored(out)) == len(counting_rows(out))


def test_killed_at_any_change_the_folder_is_not_there_or_whole_and_the_same_call_makes_it(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    write_parts(shards / "a", [row_of("/1"), row_of("/2")], [row_of("/1", 0), row_of("/3")])
    write_parts(shards / "b", [row_of("/4"), row_of("/5")])
    wanted = counting_rows(shards / "a", shards / "b")
    number = killed_at_every_change(shards, tmp_path / "killed", MERGE)
    assert number > 8
    num_whole = 0
    for attempt in range(1, number + 1):
        out = tmp_path / "killed" / str(attempt)
        if (out / "all").exists():
            num_whole += 1
        else:
            kept = list((out / ".all.merging").glob("part-*"))
            inodes = {path.stat().st_ino for path in kept}
            merge([out / "a", out / "b"], out / "all", part_size=2)
            # What was written is not written again: the copy of the folder is another one in its paths alone.
            assert inodes <= {path.stat().st_ino for path in part_paths(out / "all")}
        rows = stored(out / "all")
        assert {row["source"]: row for row in rows} == wanted
        assert len(rows) == len(wanted)
        assert not (out / ".all.merging").exists()
    assert num_whole >= 1


def test_what_was_begun_from_other_parts_is_not_gone_on_with(tmp_path: Path, shards: list[Path]) -> None:
    broken = shards[1] / "part-000003.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(ResultsError, match="part-000003"):
        merge(shards, tmp_path / "all", part_size=3)
    assert not (tmp_path / "all").exists()
    broken.unlink()
    write_parts(tmp_path / ".all.merging", [row_of("/old")])
    write_parts(shards[0], [row_of("/a/3", value=9.0)])
    merge(shards, tmp_path / "all", part_size=3)
    assert counting_rows(tmp_path / "all") == counting_rows(*shards)


def test_folders_that_cannot_be_merged_are_refused(tmp_path: Path, shards: list[Path]) -> None:
    other = replace(SERVED, models=replace(SERVED.models, model_set_id="set-other"))
    foreign = write_parts(tmp_path / "c", [row_of("/c", served=other)], served=other)
    empty = tmp_path / "empty"
    empty.mkdir()
    for act in (plan_merge, lambda folders: merge(folders, tmp_path / "all")):
        with pytest.raises(ResultsError, match="made with model set set-other"):
            act([*shards, foreign])
        with pytest.raises(InvalidInputError, match="holds no parts"):
            act([*shards, empty])
    with locked(shards[1]), pytest.raises(ResultsError, match="another fsclient is writing"):
        merge(shards, tmp_path / "all")
    with pytest.raises(InvalidInputError, match="is not empty"):
        merge(shards, shards[1])
    with pytest.raises(InvalidInputError, match=r"lies in .*, which is read"):
        merge(shards, shards[0] / "all")
    with pytest.raises(InvalidInputError, match="a disk is mounted"):
        merge(shards, _mounted_and_empty())
    assert not (tmp_path / "all").exists()


def _mounted_and_empty() -> Path:
    """Return a folder that is empty and where a file system is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        path = Path(line.split()[1])
        if path.is_dir() and os.access(path, os.R_OK) and not any(path.iterdir()):
            return path
    pytest.skip("no empty file system is mounted here")


def test_the_command_makes_the_folder_and_says_what_is_next(tmp_path: Path, shards: list[Path]) -> None:
    arguments = ["table", "compact", *map(str, shards), "--out", str(tmp_path / "all")]
    would = CliRunner().invoke(main, [*arguments, "--dry-run"])
    assert would.exit_code == 0
    assert "12 photos: 10 parts of" in would.output
    assert "would become 1, without 2 rows that later ones replaced" in would.output
    assert not (tmp_path / "all").exists()
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert f"table build {tmp_path / 'all'}" in done.output
    assert open_results(tmp_path / "all").num_photos == 12
    assert [pq.read_metadata(path).num_rows for path in part_paths(tmp_path / "all")] == [12]
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "is not empty" in again.output
