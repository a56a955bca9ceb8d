from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsclient.backend.server_retries import RetryPolicy
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsclient.testing import FakeBackend, answer, ensemble
from fsdata.results.ledger import read_ledger
from fsdata.results.parts import locked, part_paths
from fsdata.results.status import Status
from fsengine.errors import (
    DeadlineError,
    InferenceError,
    InvalidInputError,
    PhotoRejectedError,
    ResultsError,
    ServerUnavailableError,
)

Respond = Callable[[bytes, Sequence[str]], dict[str, NDArray[Any]]]

QUICK = RetryPolicy(attempts=3, first_wait_s=0.0, longest_wait_s=0.0)


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), shade).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos; photo n is recognised by its bytes."""
    source = tmp_path / "photos"
    source.mkdir()
    for number in range(5):
        (source / f"{number}.jpg").write_bytes(jpeg(number * 40))
    return source


def number_of(data: bytes) -> int:
    return next(n for n in range(5) if jpeg(n * 40) == data)


def run(folder: Path, respond: Respond | FakeBackend, out: Path, **settings: Any) -> IngestSummary:
    backend = respond if isinstance(respond, FakeBackend) else FakeBackend(respond)
    config = IngestConfig(sources=(str(folder),), out=out, retry=QUICK, **settings)
    with locked(out):
        return asyncio.run(ingest_photos(config, plan_ingest(config, find_inputs(config)), backend, lambda *_: None))


def faces_as_numbered(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    return answer(number_of(data), outputs)


def test_every_photo_becomes_a_row_with_its_faces_nested(folder: Path, tmp_path: Path) -> None:
    summary = run(folder, faces_as_numbered, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "part-000001.parquet").sort_by("source").to_pylist()
    assert [len(row["faces"]) for row in rows] == [0, 1, 2, 3, 4]
    assert [row["status"] for row in rows] == ["no_face", "ok", "ok", "ok", "ok"]
    assert rows[4]["faces"][3]["box"] == [0.5] * 4
    assert rows[4]["faces"][0]["landmarks"] == [[0.5, 0.5]] * 5
    assert len(rows[4]["faces"][0]["embedding"]) == 8
    assert rows[1]["width"] == 640
    assert (summary.num_faces, summary.exit_code, summary.num_left) == (10, 0, 0)


def test_a_part_says_what_made_it(folder: Path, tmp_path: Path) -> None:
    run(folder, faces_as_numbered, tmp_path / "out")
    info = read_ledger(tmp_path / "out").info
    assert info is not None
    assert info.models == ensemble().models
    assert info.runtime == "fake 1"


def test_running_again_does_nothing_and_takes_a_changed_photo_again(folder: Path, tmp_path: Path) -> None:
    run(folder, faces_as_numbered, tmp_path / "out")
    backend = FakeBackend(faces_as_numbered)
    summary = run(folder, backend, tmp_path / "out")
    assert backend.requests == []
    assert (summary.num_done_before, summary.exit_code) == (5, 0)
    (folder / "3.jpg").write_bytes(jpeg(160))
    os.utime(folder / "2.jpg", ns=(1, 1))
    summary = run(folder, backend, tmp_path / "out")
    assert [number_of(data) for data in backend.requests] == [4]
    assert (summary.num_kept, summary.num_changed, summary.num_done_before) == (1, 1, 4)


def test_part_size_bounds_every_part_and_numbers_go_on(folder: Path, tmp_path: Path) -> None:
    run(folder, faces_as_numbered, tmp_path / "out", part_size=2)
    assert [pq.read_metadata(path).num_rows for path in part_paths(tmp_path / "out")] == [2, 2, 1]
    (folder / "new.jpg").write_bytes(jpeg(0))
    run(folder, faces_as_numbered, tmp_path / "out", part_size=2)
    assert part_paths(tmp_path / "out")[-1].name == "part-000004.parquet"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("in ensemble 'facestats', decode failed: broken", Status.CORRUPT),
        ("too large: 9 x 9", Status.TOO_LARGE),
        ("onnx runtime error", Status.FAILED),
    ],
)
def test_a_refused_photo_is_a_row_with_a_reason(folder: Path, tmp_path: Path, message: str, status: Status) -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        if number_of(data) == 2:
            raise PhotoRejectedError(message)
        return faces_as_numbered(data, outputs)

    summary = run(folder, respond, tmp_path / "out")
    rows = {os.path.basename(row["source"]): row for row in pq.read_table(tmp_path / "out").to_pylist()}
    assert rows["2.jpg"]["status"] == status.value
    assert message.endswith(rows["2.jpg"]["reason"])
    assert summary.exit_code == 3
    assert len(rows) == 5


def test_failed_photos_are_done_again_when_asked(folder: Path, tmp_path: Path) -> None:
    def refuse(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        raise PhotoRejectedError("decode failed: today")

    run(folder, refuse, tmp_path / "out")
    summary = run(folder, faces_as_numbered, tmp_path / "out", retry_statuses=frozenset({Status.CORRUPT}))
    assert (summary.num_rows, summary.exit_code) == (5, 0)


@pytest.mark.parametrize("error", [ServerUnavailableError("away"), DeadlineError("late")])
def test_a_passing_trouble_is_retried(folder: Path, tmp_path: Path, error: InferenceError) -> None:
    failures = iter([error, error])

    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        for failure in failures:
            raise failure
        return faces_as_numbered(data, outputs)

    summary = run(folder, respond, tmp_path / "out", concurrency=1)
    assert (summary.num_rows, summary.exit_code) == (5, 0)
    assert sorted(pq.read_table(tmp_path / "out").column("attempts").to_pylist()) == [1, 1, 1, 1, 3]


def test_an_unavailable_server_leaves_photos_unfinished_and_the_rest_written(folder: Path, tmp_path: Path) -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        if number_of(data) >= 3:
            raise ServerUnavailableError("away")
        return faces_as_numbered(data, outputs)

    summary = run(folder, respond, tmp_path / "out", concurrency=1)
    # Photos are read ahead, and a small one may overtake another.
    assert 2 <= summary.num_rows == 5 - summary.num_left
    assert (summary.exit_code, summary.unfinished[0][1]) == (4, "away")
    again = run(folder, faces_as_numbered, tmp_path / "out")
    assert (again.num_done_before, again.num_rows, again.exit_code) == (summary.num_rows, summary.num_left, 0)


def test_a_deadline_leaves_one_photo_and_goes_on(folder: Path, tmp_path: Path) -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        if number_of(data) == 1:
            raise DeadlineError("late")
        return faces_as_numbered(data, outputs)

    summary = run(folder, respond, tmp_path / "out", concurrency=1)
    assert (summary.num_rows, summary.num_left, summary.exit_code) == (4, 1, 4)


def test_another_model_set_is_not_mixed_in(folder: Path, tmp_path: Path) -> None:
    run(folder, faces_as_numbered, tmp_path / "out")
    backend = FakeBackend(faces_as_numbered)
    backend.ensemble = ensemble("set-2")
    with pytest.raises(ResultsError, match=r"set-1.*set-2"):
        run(folder, backend, tmp_path / "out")


def test_a_server_that_changes_its_models_after_a_broken_connection_stops_the_run(folder: Path, tmp_path: Path) -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        if number_of(data) == 2:
            backend.ensemble = ensemble("set-2")
            raise ServerUnavailableError("restarted")
        return faces_as_numbered(data, outputs)

    backend = FakeBackend(respond)
    with pytest.raises(InferenceError, match="set-2"):
        run(folder, backend, tmp_path / "out", concurrency=1)
    assert len(read_ledger(tmp_path / "out")) == 2


def test_two_runs_do_not_write_into_one_folder(folder: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(ResultsError, match="another fsclient"):
        run(folder, faces_as_numbered, tmp_path / "out")


def test_a_half_written_part_is_no_part_and_is_cleared_away(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".part-000001.parquet.writing").write_bytes(b"PAR1 half")
    assert run(folder, faces_as_numbered, out).num_rows == 5
    assert not list(out.glob(".*.writing"))


def test_a_broken_part_is_named(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "part-000001.parquet").write_bytes(b"not parquet")
    with pytest.raises(ResultsError, match=r"part-000001\.parquet cannot be read"):
        run(folder, faces_as_numbered, out)


def test_a_name_that_is_not_utf8_is_a_photo_like_any_other(tmp_path: Path) -> None:
    source = os.fsencode(tmp_path) + b"/photos"
    Path(os.fsdecode(source)).mkdir()
    with open(source + b"/\xff.jpg", "wb") as file:
        file.write(jpeg(80))
    summary = run(Path(os.fsdecode(source)), faces_as_numbered, tmp_path / "out")
    assert summary.statuses[Status.OK] == 1
    assert pq.read_table(tmp_path / "out").column("source")[0].as_py().endswith("/photos/%FF.jpg")
    assert run(Path(os.fsdecode(source)), faces_as_numbered, tmp_path / "out").num_done_before == 1


def test_embeddings_come_back_as_they_were(folder: Path, tmp_path: Path) -> None:
    vector = np.linspace(-1, 1, 8, dtype=np.float32)

    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        arrays = answer(2, outputs)
        arrays["face_embedding"] = np.stack([vector, -vector])
        return arrays

    run(folder, respond, tmp_path / "out")
    faces = pq.read_table(tmp_path / "out").column("faces")[0].as_py()
    np.testing.assert_array_equal(faces[1]["embedding"], -vector)


def test_sources_without_a_file_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="holds no file"):
        find_inputs(IngestConfig(sources=(str(tmp_path / "empty"),), out=tmp_path / "out"))
    (tmp_path / "empty" / "a.jpg").write_bytes(jpeg(0))
    with pytest.raises(InvalidInputError, match="outside of --out"):
        find_inputs(IngestConfig(sources=(str(tmp_path / "empty"),), out=tmp_path))
