"""A refresh that was killed goes on, and what lies where it stages is left alone unless it is its own."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fsclient.cli import main
from fsdata.results.master_table import build_table
from fsdata.results.parts import part_paths
from fsdata.results.schema import read_info
from fsdata.results.staging import drop_staged, refuse_interrupted
from fsengine.errors import ResultsError
from killed_at_changes import killed_at_every_change
from refresh_for_tests import (
    HEAD_CHANGES,
    OLD,
    PHOTO_CHANGES,
    Backend,
    assert_made_with,
    assert_same_results,
    run,
    write_photos,
)

SERVED_AS = {"changed": "t.HEAD_CHANGES['changed']", "embed": "t.PHOTO_CHANGES['embed'][0]"}
"""What is served in the process that is killed."""


@pytest.mark.parametrize("name", ["changed", "embed"])
def test_killed_at_any_change_of_the_folder_the_same_command_finishes(
    name: str, results: Path, photos: Path, tmp_path: Path
) -> None:
    served = {"changed": HEAD_CHANGES["changed"], "embed": PHOTO_CHANGES["embed"][0]}[name]
    # Four old parts, and three new ones where photos are scored again, so that one must go.
    extra = write_photos(tmp_path / "extra", {"f.png": 1})
    run(Backend(OLD), results, extra, plain=True)
    assert len(part_paths(results)) == 4
    run(Backend(served), tmp_path / "fresh", photos, extra, plain=True)
    command = f"import refresh_for_tests as t; t.run(t.Backend({SERVED_AS[name]}), out)"
    number = killed_at_every_change(results, tmp_path / "killed", command)
    assert number > 12
    mixed = 0
    for attempt in range(1, number + 1):
        out = tmp_path / "killed" / str(attempt)
        sets = {read_info(pq.read_schema(path), "").models.model_set_id for path in part_paths(out)}
        if len(sets) > 1:
            mixed += 1
            for read in (lambda o=out: run(Backend(served), o, photos, plain=True), lambda o=out: build_table(o)):
                with pytest.raises(ResultsError, match=r"interrupted while new parts replaced.*to finish it"):
                    read()
        elif not list(out.glob(".refresh-*/*.json")):
            build_table(out)
        run(Backend(served), out)
        assert_made_with(out, served)
        assert_same_results(out, tmp_path / "fresh")
    assert mixed >= 2


def test_what_the_user_keeps_under_a_like_name_is_neither_read_nor_removed(results: Path) -> None:
    backup = results / ".refresh-backup"
    backup.mkdir()
    (backup / "complete.json").write_text("{")
    (results / ".refresh-notes").write_text("precious")
    run(Backend(HEAD_CHANGES["changed"]), results)
    assert (backup / "complete.json").read_text() == "{"
    assert (results / ".refresh-notes").read_text() == "precious"


@pytest.mark.parametrize("name", ["plan.json", "complete.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_record_of_a_refresh_is_named(name: str, content: str, results: Path) -> None:
    staging = results / ".refresh-set-0123456789abcdef"
    staging.mkdir()
    (staging / name).write_text(content)
    with pytest.raises(ResultsError, match=f"{name} is damaged.*remove .*{staging.name}"):
        refuse_interrupted(results)


def test_a_strange_file_in_a_staging_folder_is_kept(results: Path) -> None:
    staging = results / ".refresh-set-0123456789abcdef"
    staging.mkdir()
    (staging / "precious.txt").write_text("precious")
    drop_staged(results)
    assert (staging / "precious.txt").read_text() == "precious"


@pytest.mark.parametrize("extra", [(), ("--refresh", "--models", "lite")])
def test_what_an_earlier_version_left_interrupted_is_refused(
    extra: tuple[str, ...], results: Path, photos: Path
) -> None:
    staging = results / ".restale-set-0123456789abcdef"
    staging.mkdir()
    done = CliRunner().invoke(main, ["ingest", str(photos), "--out", str(results), *extra])
    assert done.exit_code == 1
    assert str(staging) in done.output
    assert "finish it with that version" in " ".join(done.output.split())
    assert staging.is_dir()
