"""Rows of files that are gone are dropped, all together or none, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fsclient.cli import main
from fsdata.compaction.pruning import find_gone, prune
from fsdata.results import open_results
from fsdata.results.master_table import build_table, describe
from fsdata.results.parts import locked, part_paths
from fsdata.results.source import source_text
from fsdata.results.staging import RefreshMode, Staging
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError, ResultsError
from killed_at_changes import killed_at_every_change
from results_for_tests import SERVED, row_of, write_parts

NAMES = ("a", "b", "c", "d", "e", "f")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in NAMES:
        (folder / name).touch()
    return folder


@pytest.fixture
def results(tmp_path: Path, photos: Path) -> Path:
    """Return four parts: of a, b and c; of d; of b again, now without a face, and e; of f."""
    rows = {name: row_of(str(photos / name), 2) for name in NAMES}
    again = row_of(str(photos / "b"), 0)
    return write_parts(
        tmp_path / "out",
        [rows["a"], rows["b"], rows["c"]],
        [rows["d"]],
        [again, rows["e"]],
        [rows["f"]],
    )


def remove(photos: Path, names: str) -> None:
    for name in names:
        (photos / name).unlink()


def held(folder: Path) -> list[str]:
    return [Path(source).name for source in open_results(folder).photos()["source"].to_pylist()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in part_paths(folder)}


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["table", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_rows_of_gone_files_go_from_every_part_and_other_parts_stay_as_they_are(results: Path, photos: Path) -> None:
    before = contents(results)
    rows = {row["source"]: row for path in part_paths(results) for row in pq.read_table(path).to_pylist()}
    remove(photos, "bd")
    gone = prune(results)
    assert (gone.num_photos, gone.num_gone, gone.statuses) == (6, 2, {"no_face": 1, "ok": 1})
    assert held(results) == ["a", "c", "e", "f"]
    after = contents(results)
    assert sorted(after) == ["part-000001.parquet", "part-000003.parquet", "part-000004.parquet"]
    assert after["part-000004.parquet"] == before["part-000004.parquet"]
    # No earlier row of a photo comes back, and what stays is what was there.
    left = [row for path in part_paths(results) for row in pq.read_table(path).to_pylist()]
    assert [Path(row["source"]).name for row in left] == ["a", "c", "e", "f"]
    assert all(row == rows[row["source"]] for row in left)
    assert not list(results.glob(".prune*"))


def test_a_part_that_goes_as_a_whole_makes_the_table_an_old_one(results: Path, photos: Path) -> None:
    build_table(results)
    assert describe(results).table is not None
    remove(photos, "d")
    prune(results)
    assert describe(results).table is None


def test_nothing_gone_changes_nothing(results: Path) -> None:
    before = contents(results)
    build_table(results)
    assert run("prune", results) == (0, "nothing to drop: the files of all 6 photos are there\n")
    assert contents(results) == before
    assert describe(results).table is not None


def test_the_command_says_counts_and_the_first_five(results: Path, photos: Path) -> None:
    before = contents(results)
    remove(photos, "abcde")
    (photos / "d\x1b[31m").touch()
    code, said = run("prune", results, "--dry-run")
    assert code == 0
    assert "5 of 6 photos would be dropped, their files are gone: 4 ok, 1 no_face" in said
    assert [line.strip() for line in said.splitlines()[1:6]] == [str(photos / name) for name in "acdbe"]
    assert contents(results) == before
    code, said = run("prune", results)
    assert (code, held(results)) == (0, ["f"])
    assert "5 of 6 photos dropped, their files are gone" in said
    assert f"table build {results}" in said


def test_more_than_five_are_counted_and_names_are_escaped(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    gone = [row_of(f"/nowhere/{number}\x1b[31m") for number in range(8)]
    results = write_parts(tmp_path / "out", [*gone, row_of(str(there))])
    _, said = run("prune", results, "--dry-run")
    assert r"/nowhere/0\x1b[31m" in said
    assert "and 3 more" in said
    assert said.count("/nowhere/") == 5


def test_all_gone_is_refused_unless_it_is_asked_for(results: Path, photos: Path) -> None:
    shutil.move(photos, photos.with_name("unmounted"))
    before = contents(results)
    code, said = run("prune", results, "--dry-run")
    assert code == 0
    assert "it takes --all" in said
    code, said = run("prune", results)
    assert code == 2
    assert "as if a disk were not mounted: nothing was dropped" in " ".join(said.split())
    assert contents(results) == before
    assert run("prune", results, "--all")[0] == 0
    assert part_paths(results) == []


def test_what_cannot_be_looked_up_is_not_gone(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    dangling = tmp_path / "link"
    dangling.symlink_to("nowhere")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    odd = os.fsencode(tmp_path) + b"/\xff"
    Path(os.fsdecode(odd)).touch()
    kept = [str(there), str(dangling), f"{loop}/a", f"{tmp_path}/{'x' * 300}", "s3://bucket/a.jpg", source_text(odd)]
    lost = [f"{there}/a", f"{tmp_path}/nowhere", source_text(odd + b"2")]
    results = write_parts(tmp_path / "out", [row_of(source) for source in (*kept, *lost)])
    assert find_gone(results).first == lost
    prune(results)
    assert open_results(results).photos()["source"].to_pylist() == kept


def test_a_folder_without_parts_one_in_use_and_one_with_a_refresh_are_refused(
    tmp_path: Path, results: Path, photos: Path
) -> None:
    with pytest.raises(InvalidInputError, match="holds no parts"):
        prune(tmp_path)
    remove(photos, "a")
    before = contents(results)
    with locked(results), pytest.raises(ResultsError, match="another fsclient is writing"):
        prune(results)
    with locked(results):
        Staging(results, SERVED.models, RefreshMode.HEADS, embeddings=True)
    with pytest.raises(ResultsError, match=r"a refresh of .* was interrupted"):
        prune(results)
    assert contents(results) == before


def test_a_damaged_part_is_named_and_nothing_is_dropped(results: Path, photos: Path) -> None:
    remove(photos, "ab")
    part = part_paths(results)[2]
    data = bytearray(part.read_bytes())
    data[4:300] = bytes(byte ^ 0x55 for byte in data[4:300])
    part.write_bytes(data)
    before = contents(results)
    with pytest.raises(ResultsError, match=r"part-000003\.parquet cannot be read as Parquet.*bring back a copy"):
        prune(results)
    assert contents(results) == before


def test_killed_at_any_change_of_the_folder_nothing_is_lost_and_the_same_command_finishes(
    results: Path, photos: Path, tmp_path: Path
) -> None:
    remove(photos, "bde")
    write_parts(results, [row_of(str(photos / "e"), 0, status=Status.FAILED)])
    wanted = tmp_path / "wanted"
    shutil.copytree(results, wanted)
    prune(wanted)
    number = killed_at_every_change(
        results, tmp_path / "killed", "from fsdata.compaction.pruning import prune; prune(out)"
    )
    assert number > 8
    refused = 0
    said = set()
    for attempt in range(1, number + 1):
        out = tmp_path / "killed" / str(attempt)
        try:
            # Before the replacement began all is as it was; after it all is done.
            assert held(out) in (held(results), held(wanted))
        except ResultsError as exc:
            refused += 1
            said.add(str(exc).replace(str(out), "DIR"))
        prune(out)
        rows = [pq.read_table(path).to_pylist() for path in part_paths(out)]
        assert rows == [pq.read_table(path).to_pylist() for path in part_paths(wanted)]
        assert not list(out.glob(".prune*"))
    assert refused >= 3
    (words,) = said
    assert words.endswith("run `fsclient table prune DIR` to finish it")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"parts": 5, "obsolete": []}', '{"parts": ["../a.parquet"], "obsolete": []}', "[" * 100_000],
)
def test_a_damaged_record_of_a_pruning_is_named(content: str, results: Path) -> None:
    staging = results / ".prune-parts"
    staging.mkdir()
    (staging / "complete.json").write_text(content)
    for read in (open_results, prune):
        with pytest.raises(ResultsError, match=r"complete.json is damaged.*remove .*\.prune-parts"):
            read(results)


def test_photos_in_stores_are_counted_and_nobody_is_asked(results: Path, photos: Path) -> None:
    write_parts(results, [row_of("s3://bucket/x.jpg", 1), row_of("https://h.example/y.jpg", 1)])
    assert "2 photos lie in stores or on the web, which are not asked" in run("prune", results)[1]
    remove(photos, "abcdef")
    status, said = run("prune", results)
    assert status == 2
    assert "as if a disk were not mounted" in said
