"""Many small parts become few large ones, and at every moment the folder holds the photos that it held."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from compaction_for_tests import counting_rows, stored
from fsclient.cli import main
from fsdata.compaction.compacting import compact, plan_compaction
from fsdata.results import open_results
from fsdata.results.ledger import read_ledger
from fsdata.results.master_table import build_table, describe
from fsdata.results.parts import ROW_GROUP_SIZE, PartNumbers, PartWriter, locked, part_paths
from fsdata.results.rows import PhotoRow
from fsdata.results.schema import part_schema
from fsdata.results.staging import RefreshMode, Staging
from fsengine.errors import InvalidInputError, ResultsError
from killed_at_changes import killed_at_every_change
from results_for_tests import SERVED, WITHOUT_EMBEDDINGS, latest_of, random_history, row_of, write_parts

COMPACT = "from fsdata.compaction.compacting import compact as act; act(out, part_size=5)"


def run(*arguments: str | Path | int) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["table", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join(done.output.split())


def sizes(folder: Path) -> list[int]:
    return [pq.read_metadata(path).num_rows for path in part_paths(folder)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".facestats.lock"}


def names(folder: Path) -> list[str]:
    return [path.name for path in part_paths(folder)]


def write_like(folder: Path, rows: list[PhotoRow], *, runtime: str) -> None:
    """Write a part that says it was made by another server."""
    with locked(folder):
        writer = PartWriter(
            PartNumbers(folder), part_schema(replace(SERVED, runtime=runtime)), SERVED.models.model_set_id
        )
        writer.write(rows)


def without_columns(path: Path, *columns: str) -> None:
    """Make a part one of an earlier version."""
    pq.write_table(pq.read_table(path).drop_columns(list(columns)), path)


def old_history(folder: Path, seed: int, num_rows: int = 400) -> Path:
    """Write some forty parts in which photos come back."""
    rng = random.Random(seed)
    rows = [row for part in random_history(seed, num_rows=num_rows, num_sources=num_rows // 3) for row in part]
    parts = []
    while rows:
        size = rng.randint(1, 20)
        parts.append(rows[:size])
        rows = rows[size:]
    return write_parts(folder, *parts)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("part_size", [7, 50, 1000])
def test_of_any_history_the_rows_that_count_stay_in_their_order_and_no_other(
    tmp_path: Path, seed: int, part_size: int
) -> None:
    history = random_history(seed)
    folder = write_parts(tmp_path, *history)
    before, photos, faces = stored(folder), open_results(folder).photos(), open_results(folder).faces()
    done = compact(folder, part_size=part_size)
    after = stored(folder)
    kept = [row.photo.source for row in latest_of(history)]
    assert sorted(row["source"] for row in after) == sorted(kept)
    last = {row["source"]: row for row in before}
    assert all(row == last[row["source"]] for row in after)
    assert open_results(folder).photos().sort_by("source") == photos.sort_by("source")
    assert open_results(folder).faces().num_rows == faces.num_rows
    assert (done.num_photos, done.num_dropped) == (len(kept), len(before) - len(kept))
    assert (done.parts_before, done.parts_after) == (len(history), len(part_paths(folder)))
    assert done.bytes_after == sum(path.stat().st_size for path in part_paths(folder))
    assert compact(folder, part_size=part_size).num_rewritten == 0
    if part_size >= len(kept):
        assert [row["source"] for row in after] == kept
        assert open_results(folder).photos() == photos
        assert open_results(folder).faces() == faces


def test_new_parts_are_of_the_size_asked_for_and_written_as_every_part(tmp_path: Path) -> None:
    parts = [[row_of(f"/{part}/{n}", n % 2) for n in range(250)] for part in range(20)]
    folder = write_parts(tmp_path, *parts)
    (old,) = {pq.read_schema(path) for path in part_paths(folder)}
    compact(folder, part_size=2000)
    assert sizes(folder) == [2000, 2000, 1000]
    assert names(folder) == [f"part-{number:06d}.parquet" for number in (21, 22, 23)]
    for path in part_paths(folder):
        assert pq.read_schema(path).equals(old, check_metadata=True)
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        assert groups[:-1] == [ROW_GROUP_SIZE] * (len(groups) - 1)
        column = metadata.row_group(0).column(0)
        assert (column.compression, column.is_stats_set) == ("ZSTD", True)
    assert [row["source"] for row in stored(folder)] == [row.photo.source for part in parts for row in part]


def test_large_parts_stay_until_they_hold_a_row_that_was_replaced(tmp_path: Path) -> None:
    folder = write_parts(tmp_path, *[[row_of(f"/{part}/{n}") for n in range(10)] for part in range(3)])
    before = contents(folder)
    assert compact(folder, part_size=10).num_rewritten == 0
    assert contents(folder) == before
    write_parts(folder, [row_of("/new")], [row_of("/1/3", value=2.0)])
    done = compact(folder, part_size=10)
    after = contents(folder)
    kept = {"part-000001.parquet", "part-000003.parquet"}
    assert kept < after.keys()
    assert all(after[name] == before[name] for name in kept)
    assert (done.num_rewritten, done.parts_after, done.num_dropped) == (3, 4, 1)
    assert sorted(sizes(folder)) == [1, 10, 10, 10]
    # What is no fewer parts and no fewer rows is left alone.
    assert compact(folder, part_size=10).num_rewritten == 0


def test_a_part_of_replaced_rows_alone_is_removed(tmp_path: Path) -> None:
    folder = write_parts(tmp_path, [row_of("/a")], [row_of("/b")], [row_of("/a", 0), row_of("/c")])
    done = compact(folder, part_size=2)
    assert (done.num_rewritten, done.parts_before, done.parts_after) == (1, 3, 2)
    assert names(folder) == ["part-000002.parquet", "part-000003.parquet"]
    assert counting_rows(folder)["/a"]["faces"] == []
    assert sum(sizes(folder)) == 3


def test_parts_of_earlier_versions_get_the_columns_of_later_ones(tmp_path: Path) -> None:
    folder = write_parts(tmp_path, [row_of("/a"), row_of("/b")], [row_of("/c")], [row_of("/d")])
    whole, small, _ = part_paths(folder)
    before = counting_rows(folder)
    without_columns(whole, "etag", "converted")
    without_columns(small, "etag")
    compact(folder, part_size=2)
    assert sizes(folder) == [2, 2]
    assert counting_rows(folder) == before
    assert len({pq.read_schema(path) for path in part_paths(folder)}) == 1
    assert compact(folder, part_size=2).num_rewritten == 0


def test_parts_of_different_servers_go_on_saying_so(tmp_path: Path) -> None:
    for number in range(9):
        write_like(tmp_path, [row_of(f"/{number}")], runtime="gpu" if number % 3 == 0 else "cpu")
    infos = open_results(tmp_path).infos
    assert compact(tmp_path).parts_after == 2
    ran = {path: open_results(tmp_path).infos for path in part_paths(tmp_path)}
    assert [info.runtime for info in next(iter(ran.values()))] == ["gpu", "cpu"]
    assert all(info in infos for info in open_results(tmp_path).infos)
    assert [row["source"] for row in stored(tmp_path)] == [f"/{n}" for n in (0, 3, 6, 1, 2, 4, 5, 7, 8)]


def test_parts_that_do_not_belong_together_are_refused_and_stay(tmp_path: Path) -> None:
    other = replace(SERVED, models=replace(SERVED.models, model_set_id="set-other"))
    for name, served, words in (
        ("sets", other, "made with model set set-other.*keep them in different folders"),
        ("columns", WITHOUT_EMBEDDINGS, "columns of faces embedding; keep them in different folders"),
    ):
        folder = write_parts(tmp_path / name, [row_of("/a")])
        write_parts(folder, [row_of("/b", served=served)], served=served)
        before = contents(folder)
        for act in (compact, plan_compaction):
            with pytest.raises(ResultsError, match=words):
                act(folder)
        assert contents(folder) == before


def test_a_folder_without_parts_one_in_use_and_one_with_a_refresh_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no parts"):
        compact(tmp_path)
    folder = write_parts(tmp_path / "out", [row_of("/a")], [row_of("/b")])
    before = contents(folder)
    with locked(folder), pytest.raises(ResultsError, match="another fsclient is writing"):
        compact(folder)
    with locked(folder):
        staging = Staging(folder, SERVED.models, RefreshMode.HEADS, embeddings=True)
    for act in (compact, plan_compaction):
        with pytest.raises(ResultsError, match=r"a refresh of .* was interrupted"):
            act(folder)
    shutil.rmtree(staging.path)
    assert contents(folder) == before


def test_a_damaged_part_is_named_and_no_photo_is_lost(tmp_path: Path) -> None:
    folder = write_parts(tmp_path, *[[row_of(f"/{n}")] for n in range(6)])
    good = counting_rows(folder)
    path = part_paths(folder)[4]
    whole = path.read_bytes()
    # In a column that only the writing reads, near the end of what a part of this size holds.
    start = pq.read_metadata(path).row_group(0).column(3).data_page_offset
    end = pq.read_metadata(path).row_group(0).column(5).data_page_offset
    path.write_bytes(whole[:start] + bytes(byte ^ 0x55 for byte in whole[start:end]) + whole[end:])
    with pytest.raises(ResultsError, match=r"part-000005\.parquet cannot be read as Parquet.*bring back a copy"):
        compact(folder, part_size=2)
    assert not list(folder.glob(".*.writing"))
    path.write_bytes(whole)
    assert counting_rows(folder) == good
    compact(folder, part_size=2)
    assert counting_rows(folder) == good
    assert sizes(folder) == [2, 2, 2]


def test_readers_and_ingest_go_on_and_the_table_is_one_of_before(tmp_path: Path) -> None:
    folder = old_history(tmp_path, 3)
    rows, statuses = counting_rows(folder), open_results(folder).statuses()
    build_table(folder)
    assert describe(folder).table is not None
    compact(folder, part_size=50)
    assert describe(folder).table is None
    build_table(folder)
    assert describe(folder).statuses == statuses
    assert len(read_ledger(folder)) == len(rows)
    source = next(iter(rows))
    write_parts(folder, [row_of(source, value=99.0)])
    assert counting_rows(folder)[source]["infer_ms"] == 99.0
    compact(folder, part_size=50)
    assert counting_rows(folder)[source]["infer_ms"] == 99.0
    assert len(stored(folder)) == len(rows)


def test_killed_at_any_change_of_the_folder_no_reader_sees_a_difference_and_the_next_run_finishes(
    tmp_path: Path,
) -> None:
    folder = write_parts(tmp_path / "out", *random_history(1, num_rows=16, num_sources=11))
    wanted = counting_rows(folder)
    photos = open_results(folder).photos().sort_by("source")
    number = killed_at_every_change(folder, tmp_path / "killed", COMPACT)
    assert number > 10
    half_done = 0
    for attempt in range(1, number + 1):
        out = tmp_path / "killed" / str(attempt)
        half_done += len(stored(out)) > len(wanted) and names(out) != names(folder)
        assert counting_rows(out) == wanted
        assert open_results(out).photos().sort_by("source") == photos
        assert len(read_ledger(out)) == len(wanted)
        compact(out, part_size=5)
        assert counting_rows(out) == wanted
        assert sorted(row["source"] for row in stored(out)) == sorted(wanted)
        assert len(part_paths(out)) == -(-len(wanted) // 5)
        assert not list(out.glob(".*.writing"))
    assert half_done > 3


def test_killed_at_any_time_every_row_is_there_once(tmp_path: Path) -> None:
    seeds = range(5)
    wanted = {}
    for seed in seeds:
        old_history(tmp_path / str(seed) / "0", seed, num_rows=400)
        wanted[seed] = counting_rows(tmp_path / str(seed) / "0")
    program = f"""
import os, random, shutil, signal, time
from pathlib import Path
from fsdata.compaction.compacting import compact
for seed in {list(seeds)}:
    rng = random.Random(seed)
    for attempt in range(1, 4):
        out = Path({str(tmp_path)!r}) / str(seed) / str(attempt)
        # Each goes on where the one before it was killed.
        shutil.copytree(out.with_name(str(attempt - 1)), out)
        child = os.fork()
        if not child:
            compact(out, part_size=8)
            os._exit(0)
        time.sleep(rng.uniform(0.02, 0.3))
        os.kill(child, signal.SIGKILL)
        print(os.waitpid(child, 0)[1] == signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split().count("True") > 5
    for seed in seeds:
        for attempt in range(1, 4):
            out = tmp_path / str(seed) / str(attempt)
            assert counting_rows(out) == wanted[seed]
        compact(out, part_size=8)
        assert counting_rows(out) == wanted[seed]
        assert len(stored(out)) == len(wanted[seed])


def test_on_a_full_disk_the_old_parts_stay_and_nothing_else_does(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        write_parts(folder, *[[row_of(f"/{part}/{n}", 4, value=part + n / 7) for n in range(40)] for part in range(8)])
        with (folder / "filling").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        before = contents(folder)
        code, said = run("compact", folder)
        assert code == 1
        assert "part-000009.parquet cannot be written: No space left on device; make room" in said
        assert contents(folder) == before
        (folder / "filling").unlink()
        rows = stored(folder)
        compact(folder)
        assert stored(folder) == rows
        assert sizes(folder) == [320]
    finally:
        subprocess.run(["umount", folder], check=True)


def test_memory_does_not_grow_with_the_parts(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from fsdata.compaction.compacting import compact
compact(Path(sys.argv[1]), part_size=100_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    faces = row_of("/", 40)
    peaks = []
    for number_of_parts in (4, 32):
        folder = tmp_path / str(number_of_parts)
        with locked(folder):
            writer = PartWriter(PartNumbers(folder), part_schema(SERVED), SERVED.models.model_set_id)
            table = writer.table([replace(faces, photo=replace(faces.photo, source=f"/{n}")) for n in range(1000)])
            at = table.schema.get_field_index("source")
            for part in range(number_of_parts):
                sources = pa.array([f"/{part}/{n}" for n in range(1000)])
                writer.write_table(table.set_column(at, table.schema.field(at), sources))
        shown = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
        peaks.append(int(shown.stdout) * 1024)
        assert sizes(folder) == [1000 * number_of_parts]
    raw_bytes = 28 * table.nbytes
    assert raw_bytes > 100e6
    assert peaks[1] - peaks[0] < 0.3 * raw_bytes, peaks


def test_the_command_says_what_it_would_do_and_what_it_did(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "out", *[[row_of(f"/{n}")] for n in range(12)], [row_of("/3")])
    before = contents(folder)
    code, said = run("compact", folder, "--dry-run")
    assert code == 0
    assert said.startswith("12 photos: 13 parts of 0.")
    assert said.endswith("MB would become 1, without 1 row that later ones replaced")
    assert contents(folder) == before
    code, said = run("compact", folder, "--part-size", 6)
    assert code == 0
    assert "MB became 2 of 0." in said
    assert said.endswith(f"without 1 row that later ones replaced next: fsclient table build {folder}")
    assert run("compact", folder, "--part-size", 6) == (
        0,
        "compact already: 12 photos in 2 parts, and no row that was replaced",
    )
    code, said = run("compact", folder, folder)
    assert code == 2
    assert "Several folders need --out DIR" in said
