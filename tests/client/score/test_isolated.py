"""One bad photo does not fail its neighbours, even where the decode step answers one error to all of them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from fsclient.backend.served_capacity import ServedCapacity
from fsclient.backend.server_retries import RetryPolicy
from fsclient.backend.triton import TritonBackend, is_isolated_twin
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsclient.models.name_to_repository import served_repository
from fsclient.photos.photo_file import read_photo
from fsclient.photos.room import Room
from fsclient.score.photo_request import refusal, score_with_retries
from fsclient.testing import FakeBackend, answer
from fsdata.results.parts import locked
from fsdata.results.rows import PER_PHOTO_OUTPUTS, PhotoRow
from fsdata.results.schema import face_outputs
from fsdata.results.status import Status
from fsengine.contracts import steps
from fsengine.errors import InferenceError, PhotoRejectedError, ServerUnavailableError
from fsengine.repository.assemble import read_canonical
from fsengine.server.embedded import EmbeddedServer
from native_decode_errors import with_native_decode_errors
from plain_headers import PLAIN_PNG

NATIVE = """in ensemble 'facestats', Runtime error: Critical error in pipeline:
Error when executing Mixed operator decoders__Image encountered:
Error in thread 1: [/opt/dali/dali/image/image_factory.cc:100] Unrecognized image format.
Current pipeline object is no longer valid."""

CONCURRENCY = 8
ATTEMPTS = 20
"""Triton merges what waits while an execution runs; whether anything waits is chance, hence more than one try."""

Respond = Callable[[bytes, Sequence[str]], dict[str, NDArray[Any]]]


def refuse(error: InferenceError) -> Respond:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        raise error

    return respond


def one_face(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    return answer(1, outputs)


def score(photo: Path, backend: FakeBackend) -> PhotoRow:
    retry = RetryPolicy(attempts=3, first_wait_s=0.0, longest_wait_s=0.0)
    outputs = ["face_score", "face_box"]
    return asyncio.run(
        score_with_retries(
            lambda: read_photo(bytes(photo)),
            backend,
            outputs,
            retry=retry,
            expected_model_set_id="set-1",
            room=Room(),
        ),
    )


@pytest.fixture
def photo(photos: Path) -> Path:
    return photos / "hopper.jpg"


@pytest.mark.parametrize("message", [NATIVE, "decode failed: another's", "an error of tomorrow's release"])
def test_a_photo_that_decodes_alone_is_as_good_as_any(photo: Path, message: str) -> None:
    backend = FakeBackend(refuse(PhotoRejectedError(message)), respond_alone=one_face)
    row = score(photo, backend)
    assert (row.status, row.num_faces, row.attempts, row.reason) == (Status.OK, 1, 2, None)
    assert backend.requests == backend.requests_alone == [photo.read_bytes()]


@pytest.mark.parametrize(
    ("alone", "status", "reason"),
    [
        (NATIVE, Status.CORRUPT, "decode failed: DALI: Unrecognized image format."),
        ("in ensemble 'facestats_isolated', decode failed: cut", Status.CORRUPT, "decode failed: cut"),
        ("CUDA driver error", Status.FAILED, "CUDA driver error"),
    ],
)
def test_what_the_server_says_of_the_photo_alone_counts(photo: Path, alone: str, status: Status, reason: str) -> None:
    backend = FakeBackend(refuse(PhotoRejectedError(NATIVE)), respond_alone=refuse(PhotoRejectedError(alone)))
    row = score(photo, backend)
    assert (row.status, row.reason, row.attempts) == (status, reason, 2)


def test_a_photo_that_is_too_large_is_not_asked_for_again(photo: Path) -> None:
    backend = FakeBackend(refuse(PhotoRejectedError("too large: 9 x 9")), respond_alone=one_face)
    assert score(photo, backend).status is Status.TOO_LARGE
    assert backend.requests_alone == []


@pytest.mark.parametrize(("message", "status"), [(NATIVE, Status.FAILED), ("decode failed: cut", Status.CORRUPT)])
def test_without_the_twin_another_photo_s_error_is_not_called_corrupt(
    photo: Path, message: str, status: Status
) -> None:
    row = score(photo, FakeBackend(refuse(PhotoRejectedError(message))))
    assert (row.status, row.attempts) == (status, 1)


def test_a_server_that_goes_away_in_between_is_asked_from_the_start(photo: Path) -> None:
    away = iter([ServerUnavailableError("away")])

    def respond_alone(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        for error in away:
            raise error
        return one_face(data, outputs)

    backend = FakeBackend(refuse(PhotoRejectedError(NATIVE)), respond_alone=respond_alone)
    row = score(photo, backend)
    assert (row.status, row.attempts) == (Status.OK, 4)
    backend = FakeBackend(refuse(PhotoRejectedError(NATIVE)), respond_alone=refuse(ServerUnavailableError("away")))
    with pytest.raises(ServerUnavailableError):
        score(photo, backend)
    assert len(backend.requests_alone) == 3


class Merging(FakeBackend):
    """Decodes photos together whose memory is not made for large ones."""

    capacity = ServedCapacity(large_alone=True)


def test_a_large_photo_goes_alone_at_once_where_a_gpu_merges_photos(photo: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    Image.new("L", (5000, 5001)).save(large)
    merging = Merging(refuse(PhotoRejectedError("not for this one")), respond_alone=one_face)
    row = score(large, merging)
    assert (row.status, row.attempts) == (Status.OK, 1)
    assert (merging.requests, merging.requests_alone) == ([], [large.read_bytes()])
    merging = Merging(one_face, respond_alone=refuse(PhotoRejectedError(NATIVE)))
    assert (score(photo, merging).status, merging.requests_alone) == (Status.OK, [])
    assert (score(large, merging).status, len(merging.requests_alone)) == (Status.CORRUPT, 1)
    on_cpu = FakeBackend(one_face, respond_alone=one_face)
    assert score(large, on_cpu).status is Status.OK
    assert on_cpu.requests_alone == []


def test_only_an_ensemble_of_the_same_steps_and_outputs_is_asked() -> None:
    canonical = read_canonical()
    ensemble, twin = canonical[steps.ENSEMBLE], canonical[steps.ENSEMBLE_ISOLATED]
    assert is_isolated_twin(ensemble, twin)
    assert not is_isolated_twin(ensemble, ensemble)
    shorter, renamed, narrower = (type(twin)() for _ in range(3))
    for changed in (shorter, renamed, narrower):
        changed.CopyFrom(twin)
    del shorter.ensemble_scheduling.step[-1]
    renamed.ensemble_scheduling.step[3].model_name = "embed_of_last_year"
    narrower.output[5].dims[1] = 8
    assert not any(is_isolated_twin(ensemble, changed) for changed in (shorter, renamed, narrower))


@pytest.fixture(scope="module")
def spreading_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """An embedded server whose decode step answers errors as the native backend does."""
    out = tmp_path_factory.mktemp("spreading") / "repository"
    with EmbeddedServer(with_native_decode_errors(served_repository("lite", print), out)) as server:
        yield server


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """24 good photos, with a bad one after every third."""
    folder = tmp_path_factory.mktemp("mixed")
    for number in range(24):
        name = ("hopper.jpg", "obama.jpg", "coffee.jpg")[number % 3]
        shutil.copy(photos / name, folder / f"{number:02}-good.jpg")
    cut, text = (photos / "obama.jpg").read_bytes(), PLAIN_PNG + b" and then no picture"
    for number in range(2, 24, 3):
        (folder / f"{number:02}-worse.jpg").write_bytes(cut[: 2000 + number] if number % 2 else text + bytes(number))
    return folder


def run(folder: Path, out: Path, url: str) -> tuple[IngestSummary, dict[str, dict[str, Any]]]:
    async def once() -> IngestSummary:
        backend = TritonBackend(url)
        try:
            return await ingest_photos(config, plan_ingest(config, find_inputs(config)), backend, lambda *_: None)
        finally:
            await backend.close()

    config = IngestConfig(sources=(str(folder),), out=out, concurrency=CONCURRENCY)
    with locked(out):
        summary = asyncio.run(once())
    return summary, {Path(row["source"]).name: row for row in pq.read_table(out).to_pylist()}


@pytest.mark.triton
def test_an_error_spreads_over_merged_photos_and_alone_none_merge(
    spreading_server: EmbeddedServer, photos: Path
) -> None:
    good, bad = (photos / "hopper.jpg").read_bytes(), (photos / "obama.jpg").read_bytes()[:2000]
    sent = [good, good, bad, good, good, bad, good, good]  # as many as wait at once

    async def answers(backend: TritonBackend, outputs: list[str], *, alone: bool) -> list[object]:
        asked = (backend.infer(data, outputs, orientation=1, alone=alone) for data in sent)
        return list(await asyncio.gather(*asked, return_exceptions=True))

    async def both() -> tuple[list[object], list[object]]:
        backend = TritonBackend(spreading_server.url)
        try:
            outputs = [*PER_PHOTO_OUTPUTS, *face_outputs(await backend.served())]
            assert backend.isolates
            for _ in range(ATTEMPTS):
                shared = await answers(backend, outputs, alone=False)
                if sum(isinstance(got, PhotoRejectedError) for got in shared) > sent.count(bad):
                    return shared, await answers(backend, outputs, alone=True)
        finally:
            await backend.close()
        raise AssertionError(f"no execution merged a good photo with a bad one in {ATTEMPTS} tries")

    shared, alone = asyncio.run(both())
    refused = [str(got) for got in shared if isinstance(got, PhotoRejectedError)]
    assert max(refused.count(text) for text in refused) > 1
    for text in refused:
        assert "in ensemble 'facestats', Runtime error: Critical error in pipeline" in text
        assert refusal(text)[0] is Status.FAILED
    for data, got in zip(sent, alone, strict=True):
        assert isinstance(got, PhotoRejectedError) == (data is bad), got
        if data is bad:
            assert refusal(str(got), alone=True) == (Status.CORRUPT, "decode failed: DALI: Failed to decode sample #0")


@pytest.mark.triton
def test_ingest_gives_every_good_photo_its_faces_and_calls_the_bad_ones_corrupt(
    spreading_server: EmbeddedServer, lite_server: EmbeddedServer, mixed: Path, tmp_path: Path
) -> None:
    _, expected = run(mixed, tmp_path / "isolating", lite_server.url)
    for attempt in range(ATTEMPTS):
        summary, rows = run(mixed, tmp_path / f"spreading{attempt}", spreading_server.url)
        assert rows.keys() == expected.keys() == {path.name for path in mixed.iterdir()}
        assert (summary.num_rows, summary.num_left, summary.exit_code) == (32, 0, 3)
        for name, row in rows.items():
            other = expected[name]
            assert (row["status"], len(row["faces"])) == (other["status"], len(other["faces"])), name
            assert (row["status"] == "corrupt") == ("worse" in name), row["reason"]
            assert row["attempts"] <= 2
            for one, two in zip(row["faces"], other["faces"], strict=True):
                np.testing.assert_allclose(one["box"], two["box"], atol=1e-4)
                np.testing.assert_allclose(one["embedding"], two["embedding"], atol=1e-4)
        if any(row["attempts"] == 2 for name, row in rows.items() if "good" in name):
            return
    raise AssertionError(f"no good photo was asked for again in {ATTEMPTS} runs")


@pytest.mark.triton
def test_a_repository_without_the_twin_is_served_as_before(mixed: Path, tmp_path: Path) -> None:
    repository = with_native_decode_errors(served_repository("lite", print), tmp_path / "repository")
    for name in (steps.ENSEMBLE_ISOLATED, steps.DECODE_ISOLATED):
        shutil.rmtree(repository / name)
    with EmbeddedServer(repository) as server:
        _, rows = run(mixed, tmp_path / "out", server.url)
    assert len(rows) == 32
    assert {row["status"] for name, row in rows.items() if "worse" in name} == {"failed"}
    assert {row["attempts"] for row in rows.values()} == {1}
