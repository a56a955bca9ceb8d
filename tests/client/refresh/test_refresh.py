"""Stored results are brought to changed heads from their embeddings; what needs the photos is redone with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from fsclient.cli import main
from fsdata.results.master_table import build_table
from fsdata.results.parts import part_paths
from fsengine.contracts.served import ServedEnsemble, ServedHead
from fsengine.errors import InferenceError, InvalidInputError, ResultsError, ServerUnavailableError
from refresh_for_tests import (
    HEAD_CHANGES,
    OLD,
    PHOTO_CHANGES,
    Backend,
    RecordedProgress,
    assert_made_with,
    assert_same_results,
    ensemble_of,
    rows_of,
    run,
    write_photos,
)


@pytest.mark.parametrize("served", HEAD_CHANGES.values(), ids=HEAD_CHANGES)
def test_heads_are_run_on_the_stored_embeddings_and_no_photo_is_read(
    served: ServedEnsemble, results: Path, photos: Path, tmp_path: Path
) -> None:
    run(Backend(served), tmp_path / "fresh", photos, plain=True)
    before = rows_of(results)
    shutil.rmtree(photos)
    backend, progress = Backend(served), RecordedProgress()
    summary = run(backend, results, progress=progress)
    assert backend.requests == []
    assert_made_with(results, served)
    assert_same_results(results, tmp_path / "fresh")
    after = rows_of(results)
    for column in ("attempts", "read_ms", "infer_ms", "content_hash", "mtime_ns", "bytes"):
        assert {name: row[column] for name, row in after.items()} == {n: row[column] for n, row in before.items()}
    assert sum(progress.num_faces) == progress.total == 303
    assert max([rows for _, rows in backend.head_requests], default=0) <= 256
    assert (summary.num_inputs, summary.num_left, summary.exit_code) == (5, 0, 0)


def test_only_the_changed_head_is_asked_and_the_summary_says_so(results: Path) -> None:
    backend = Backend(HEAD_CHANGES["changed"])
    summary = run(backend, results)
    assert {step for step, _ in backend.head_requests} == {"ethnicity"}
    assert summary.refreshed == "refreshed: ethnicity on 303 faces of 5 photos, no photo was read"
    assert "age_gender removed" in str(run(Backend(ensemble_of({"ethnicity": "2"})), results).refreshed)


def test_new_photos_of_the_sources_are_scored_after_that(results: Path, photos: Path, tmp_path: Path) -> None:
    served = HEAD_CHANGES["changed"]
    write_photos(photos, {"new.png": 3})
    backend = Backend(served)
    summary = run(backend, results, photos)
    assert len(backend.requests) == 1
    assert (summary.num_done_before, summary.num_rows, summary.exit_code) == (5, 1, 0)
    run(Backend(served), tmp_path / "fresh", photos, plain=True)
    assert_same_results(results, tmp_path / "fresh")
    assert_made_with(results, served)


def test_the_same_models_are_a_plain_ingest(results: Path, photos: Path) -> None:
    write_photos(photos, {"new.png": 3})
    untouched = [(path.name, path.stat().st_mtime_ns) for path in part_paths(results)]
    backend = Backend(OLD)
    summary = run(backend, results, photos)
    assert (len(backend.requests), backend.head_requests, summary.num_rows) == (1, [], 1)
    assert [(path.name, path.stat().st_mtime_ns) for path in part_paths(results)][:3] == untouched
    assert "nothing" in str(summary.refreshed)


def test_an_empty_folder_is_a_plain_ingest(photos: Path, tmp_path: Path) -> None:
    summary = run(Backend(OLD), tmp_path / "new", photos)
    assert (summary.num_rows, summary.exit_code, summary.refreshed) == (5, 0, None)
    assert_made_with(tmp_path / "new", OLD)
    with pytest.raises(InvalidInputError, match="holds no file"):
        run(Backend(OLD), tmp_path / "newer")


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"gender": ["f", "m"], "ethnicity": ["1", "2", "3"]}},
        {"thresholds": {"gender": 0.6}},
        {"marks": {"poor": ["detect"]}},
    ],
)
def test_metadata_alone_is_written_again(changes: dict[str, Any], results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "before")
    served = replace(OLD, models=replace(OLD.models, **changes))
    backend = Backend(served)
    summary = run(backend, results)
    assert (backend.requests, backend.head_requests) == ([], [])
    assert "no photo was read" in str(summary.refreshed)
    assert_made_with(results, served)
    assert_same_results(results, tmp_path / "before", timings=True)


def without_in_metadata(out: Path, *keys: bytes) -> None:
    """Rewrite parts as an earlier version wrote them."""
    for path in part_paths(out):
        table = pq.read_table(path)
        text = table.schema.metadata[b"facestats"]
        for key in keys:
            assert key in text
            text = text.replace(b", " + key, b"")
        pq.write_table(table.replace_schema_metadata({b"facestats": text}), path)


def test_results_of_an_earlier_version_are_refreshed(results: Path) -> None:
    without_in_metadata(results, b'"encoder_id": ""', b'"thresholds": {}')
    served = HEAD_CHANGES["changed"]
    served = replace(served, models=replace(served.models, encoder_id="enc-1", thresholds={"ethnicity": 0.5}))
    backend = Backend(served)
    run(backend, results)
    assert backend.requests == []
    assert_made_with(results, served)


@pytest.mark.parametrize(("served", "reason"), PHOTO_CHANGES.values(), ids=PHOTO_CHANGES)
def test_a_deeper_change_scores_every_photo_again(
    served: ServedEnsemble, reason: str, results: Path, photos: Path, tmp_path: Path
) -> None:
    other = write_photos(tmp_path / "other", {"new.png": 3})
    backend, progress = Backend(served), RecordedProgress()
    summary = run(backend, results, other, progress=progress)
    assert (len(backend.requests), backend.head_requests) == (6, [])
    assert reason in progress.lines[0]
    assert reason in str(summary.refreshed)
    assert (summary.num_inputs, summary.num_rows, summary.exit_code) == (6, 6, 0)
    assert_made_with(results, served)
    run(Backend(served), tmp_path / "fresh", photos, other, plain=True)
    assert_same_results(results, tmp_path / "fresh")


def test_photos_that_were_done_twice_are_scored_again_once(results: Path, photos: Path, tmp_path: Path) -> None:
    write_photos(photos, {"b.png": 3, "c.png": 0})
    os.utime(photos / "b.png", ns=(5, 5))
    os.utime(photos / "c.png", ns=(5, 5))
    assert run(Backend(OLD), results, photos, plain=True).num_rows == 2
    served = PHOTO_CHANGES["embed"][0]
    shutil.copytree(results, tmp_path / "named")
    for out, sources in ((results, []), (tmp_path / "named", [photos])):
        backend = Backend(served)
        summary = run(backend, out, *sources)
        assert (len(backend.requests), summary.num_inputs, summary.num_rows) == (5, 5, 5)
        assert "5 photos scored again" in str(summary.refreshed)
        assert_made_with(out, served)
        assert len(rows_of(out)) == 5
        assert len(rows_of(out)["b.png"]["faces"]) == 3


def test_a_photo_counts_once_though_it_has_two_rows(results: Path, photos: Path) -> None:
    write_photos(photos, {"b.png": 3})
    os.utime(photos / "b.png", ns=(5, 5))
    run(Backend(OLD), results, photos, plain=True)
    summary = run(Backend(HEAD_CHANGES["changed"]), results)
    assert "306 faces of 5 photos" in str(summary.refreshed)
    assert (summary.num_inputs, summary.num_done_before, summary.all_statuses.total()) == (5, 5, 5)


def test_faces_of_a_photo_that_is_gone_are_not_thrown_away(results: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "before")
    (photos / "c.png").rename(tmp_path / "c.png")
    served = PHOTO_CHANGES["embed"][0]
    with pytest.raises(ResultsError, match=r"1 that .* are gone .*c\.png.*another --out"):
        run(Backend(served), results)
    assert_same_results(results, tmp_path / "before", timings=True)
    (tmp_path / "c.png").rename(photos / "c.png")
    run(Backend(served), results)
    assert_made_with(results, served)


def test_a_server_that_goes_away_leaves_the_old_results_and_the_next_run_goes_on(
    results: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "before")

    class Flaky(Backend):
        async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            if len(self.head_requests) >= 2:
                raise ServerUnavailableError("away")
            return await super().infer_head(head, embeddings)

    served = HEAD_CHANGES["changed"]
    with pytest.raises(ServerUnavailableError):
        run(Flaky(served), results)
    assert_same_results(results, tmp_path / "before", timings=True)
    for read in (lambda: run(Backend(OLD), results, photos, plain=True), lambda: build_table(results)):
        with pytest.raises(ResultsError, match=r"interrupted.*--refresh.*to go on, or remove .*\.refresh-set"):
            read()
    whole = Backend(served)
    run(Backend(OLD), tmp_path / "count", photos, plain=True)
    all_requests = Backend(served)
    run(all_requests, tmp_path / "count")
    run(whole, results)
    assert 0 < len(whole.head_requests) < len(all_requests.head_requests)
    assert_made_with(results, served)


def test_photos_that_were_scored_again_before_an_interruption_are_not_scored_a_third_time(
    results: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "before")
    served = PHOTO_CHANGES["embed"][0]

    def away(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        if len(flaky.requests) > 3:
            raise ServerUnavailableError("away")
        return flaky._photo(data, outputs)

    flaky = Backend(served)
    flaky.respond = away
    summary = run(flaky, results)
    assert (summary.num_rows, summary.num_left, summary.exit_code) == (3, 2, 4)
    assert "not refreshed yet" in str(summary.refreshed)
    assert_same_results(results, tmp_path / "before", timings=True)
    backend = Backend(served)
    assert run(backend, results).exit_code == 0
    assert len(backend.requests) == 2
    assert_made_with(results, served)


def test_another_target_than_the_interrupted_one_starts_anew(results: Path) -> None:
    class Broken(Backend):
        async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            raise InferenceError(f"{head.step} {len(embeddings)} broken")

    with pytest.raises(InferenceError, match="broken"):
        run(Broken(HEAD_CHANGES["changed"]), results)
    assert "nothing" in str(run(Backend(OLD), results).refreshed)
    assert_made_with(results, OLD)
    with pytest.raises(InferenceError, match="broken"):
        run(Broken(HEAD_CHANGES["changed"]), results)
    run(Backend(HEAD_CHANGES["added"]), results)
    assert_made_with(results, HEAD_CHANGES["added"])


def test_a_server_that_changes_its_models_meanwhile_is_refused(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "before")

    class Changing(Backend):
        async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            made = await super().infer_head(head, embeddings)
            self.ensemble = HEAD_CHANGES["both changed"]
            return made

    with pytest.raises(InferenceError, match="now serves"):
        run(Changing(HEAD_CHANGES["changed"]), results)
    assert_same_results(results, tmp_path / "before", timings=True)


def test_the_refusal_of_another_model_set_names_refresh(results: Path, photos: Path) -> None:
    with pytest.raises(ResultsError, match="or --refresh to bring them to it"):
        run(Backend(HEAD_CHANGES["changed"]), results, photos, plain=True)


def test_a_touched_photo_keeps_its_row_after_a_refresh(results: Path, photos: Path) -> None:
    os.utime(photos / "d.png", ns=(5, 5))
    backend = Backend(OLD)
    summary = run(backend, results, photos)
    assert (summary.num_kept, summary.num_left, backend.requests) == (1, 0, [])
    assert_made_with(results, OLD)


def test_sources_may_be_left_out_with_refresh_alone(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["ingest", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "SOURCE" in done.output
