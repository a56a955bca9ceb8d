"""Results without embeddings: what needs them is scored again, and they stay without; stored ones can be removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from fsdata.results.master_table import build_table
from fsdata.results.parts import part_paths
from fsengine.contracts.served import ServedEnsemble, ServedHead
from fsengine.errors import InferenceError, ResultsError
from refresh_for_tests import (
    HEAD_CHANGES,
    OLD,
    PHOTO_CHANGES,
    Backend,
    RecordedProgress,
    assert_made_with,
    assert_same_results,
    rows_of,
    run,
    write_photos,
)


@pytest.fixture
def bare(photos: Path, tmp_path: Path) -> Path:
    """The same five photos scored without embeddings."""
    run(Backend(OLD), tmp_path / "bare", photos, plain=True, embedding=False)
    assert_made_with(tmp_path / "bare", OLD.without_embedding())
    return tmp_path / "bare"


@pytest.mark.parametrize("given", [True, False], ids=["by default", "--no-embedding"])
@pytest.mark.parametrize("served", [HEAD_CHANGES["changed"], HEAD_CHANGES["added"], PHOTO_CHANGES["embed"][0]])
def test_changed_models_score_every_photo_again_and_say_why(
    served: ServedEnsemble, given: bool, bare: Path, photos: Path, tmp_path: Path
) -> None:
    backend, progress = Backend(served), RecordedProgress()
    summary = run(backend, bare, progress=progress, embedding=given)
    assert (len(backend.requests), backend.head_requests) == (5, [])
    reads_embedding = served is not PHOTO_CHANGES["embed"][0]
    assert ("no embeddings were stored that it could read: all photos are scored again" in progress.lines[-1]) is (
        reads_embedding
    )
    assert "5 photos scored again, because the" in str(summary.refreshed)
    assert any("holds no embeddings and stays without" in line for line in progress.lines) is given
    assert_made_with(bare, served.without_embedding())
    run(Backend(served), tmp_path / "fresh", photos, plain=True, embedding=False)
    assert_same_results(bare, tmp_path / "fresh")


def test_what_needs_no_embedding_reads_no_photo(bare: Path, photos: Path) -> None:
    write_photos(photos, {"new.png": 3})
    backend = Backend(OLD)
    assert "nothing" in str(run(backend, bare, photos).refreshed)
    assert len(backend.requests) == 1
    backend = Backend(HEAD_CHANGES["gone"])
    assert "age_gender removed" in str(run(backend, bare).refreshed)
    assert (backend.requests, backend.head_requests) == ([], [])
    assert_made_with(bare, HEAD_CHANGES["gone"].without_embedding())


def test_photos_that_are_gone_are_named_with_the_way_out(bare: Path, photos: Path) -> None:
    (photos / "c.png").unlink()
    with pytest.raises(ResultsError, match=r"no embeddings were stored.*1 that .* are gone .*another --out"):
        run(Backend(HEAD_CHANGES["changed"]), bare)
    assert_made_with(bare, OLD.without_embedding())


@pytest.mark.parametrize("served", [OLD, *HEAD_CHANGES.values()], ids=["same models", *HEAD_CHANGES])
def test_stored_embeddings_are_removed_where_none_are_wanted(
    served: ServedEnsemble, results: Path, photos: Path, tmp_path: Path
) -> None:
    run(Backend(served), tmp_path / "fresh", photos, plain=True, embedding=False)
    shutil.rmtree(photos)
    backend = Backend(served)
    summary = run(backend, results, embedding=False)
    assert backend.requests == []
    assert "embeddings removed" in str(summary.refreshed)
    assert_made_with(results, served.without_embedding())
    assert_same_results(results, tmp_path / "fresh")
    assert all("embedding" not in face for row in rows_of(results).values() for face in row["faces"])


def test_an_interrupted_refresh_of_the_other_choice_is_not_gone_on_with(results: Path) -> None:
    class Broken(Backend):
        async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            if len(self.head_requests) > 1:
                raise InferenceError("broken")
            return await super().infer_head(head, embeddings)

    served = HEAD_CHANGES["changed"]
    with pytest.raises(InferenceError, match="broken"):
        run(Broken(served), results)
    run(Backend(served), results, embedding=False)
    assert_made_with(results, served.without_embedding())


def test_an_interrupted_refresh_names_the_option_that_it_was_begun_with(results: Path, photos: Path) -> None:
    class Broken(Backend):
        async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
            raise InferenceError("broken")

    with pytest.raises(InferenceError, match="broken"):
        run(Broken(HEAD_CHANGES["changed"]), results, embedding=False)
    with pytest.raises(ResultsError, match=r"--refresh --no-embedding` with the same --models"):
        run(Backend(OLD), results, photos, plain=True)


def test_parts_with_and_without_embeddings_are_scored_again(results: Path, bare: Path) -> None:
    (results / part_paths(bare)[-1].name).write_bytes(part_paths(bare)[-1].read_bytes())
    backend, progress = Backend(OLD), RecordedProgress()
    run(backend, results, progress=progress)
    assert len(backend.requests) == 5
    assert "no column embedding" in progress.lines[0]
    assert_made_with(results, OLD)


@pytest.mark.parametrize("served", [OLD, PHOTO_CHANGES["embed"][0]], ids=["same models", "another encoder"])
def test_no_table_goes_on_holding_embeddings_that_were_removed(
    served: ServedEnsemble, photos: Path, tmp_path: Path
) -> None:
    out, progress = tmp_path / "whole", RecordedProgress()
    run(Backend(OLD), out, photos, plain=True)
    assert "embedding" in pq.read_schema(build_table(out)).names
    run(Backend(served), out, progress=progress, embedding=False)
    assert not list(out.rglob("faces.parquet"))
    assert any("the master table held the embeddings too and is removed" in line for line in progress.lines)
    assert "embedding" not in pq.read_schema(build_table(out)).names
    run(Backend(served), out, embedding=False)
    assert list(out.rglob("faces.parquet"))  # one without embeddings stays
