"""The library, on the fake backend: what may be given, what comes out, in what order, and how much is held."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import fsclient
from fake_photos import PIXELS, SlowFirst, encoded, numbered, pixels_of
from fsclient import AsyncClient, Client, InferenceError, InvalidInputError, ScoredPhoto, ServerUnavailableError, Status
from fsclient.testing import FakeBackend, answer, ensemble


def test_a_photo_is_described_with_labels_and_probabilities(client: Client, photos: Path) -> None:
    photo = client.score(photos / "hopper.jpg")
    assert (photo.status, photo.reason, photo.width, photo.height) == (Status.OK, None, 640, 480)
    assert photo.source == str(photos / "hopper.jpg")
    assert (photo.model_set_id, photo.marks) == ("set-1", {"untrained weights": ["detect"]})
    assert len(photo.faces) == 2
    face = photo.faces[0]
    assert face.box == (0.5, 0.5, 0.5, 0.5)
    assert face.box.x1 == 0.5
    assert [point.y for point in face.landmarks] == [0.5] * 5
    assert (face.score, face.age_years) == (0.5, 0.5)
    assert face.embedding is not None
    assert face.embedding.dtype == np.float32
    assert face.embedding.shape == (8,)
    assert (face.gender, face.gender_probability) == ("female", {"female": 0.5, "male": 0.5})
    assert [face.ethnicity, face.attractiveness, face.age_interval_years] == [None] * 3


def test_results_cannot_be_changed(client: Client, photos: Path) -> None:
    photo = client.score(photos / "hopper.jpg")
    with pytest.raises(dataclasses.FrozenInstanceError):
        photo.status = Status.CORRUPT  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        photo.faces[0].score = 1.0  # type: ignore[misc]


def test_a_head_below_its_threshold_is_uncertain(backend: FakeBackend) -> None:
    models = dataclasses.replace(backend.ensemble.models, thresholds={"gender": 0.6})
    backend.ensemble = dataclasses.replace(backend.ensemble, models=models)
    with Client(backend=backend) as client:
        face = client.score(PIXELS).faces[0]
    assert face.gender == fsclient.UNCERTAIN == "uncertain"
    assert face.gender_probability == {"female": 0.5, "male": 0.5}


def test_everything_that_a_photo_can_be_given_as(client: Client, backend: FakeBackend, photos: Path) -> None:
    path = photos / "hopper.jpg"
    data = path.read_bytes()
    with path.open("rb") as file:
        given: list[Any] = [path, str(path), data, bytearray(data), memoryview(data), file, io.BytesIO(data)]
        scored = [client.score(photo) for photo in given]
    assert backend.requests == [data] * len(given)
    assert [photo.source for photo in scored] == [str(path), str(path), None, None, None, str(path), None]


def test_pixels_arrive_as_they_are(client: Client, backend: FakeBackend) -> None:
    client.score(PIXELS)
    client.score(Image.fromarray(PIXELS))
    client.score(PIXELS[:, ::-1])
    sent = [pixels_of(data) for data in backend.requests]
    np.testing.assert_array_equal(sent[0], PIXELS)
    np.testing.assert_array_equal(sent[1], PIXELS)
    np.testing.assert_array_equal(sent[2], PIXELS[:, ::-1])


def test_a_pil_image_is_turned_upright_and_lies_on_white(client: Client, backend: FakeBackend) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(encoded(Image.fromarray(PIXELS), exif=exif))) as turned:
        client.score(turned)
    client.score(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    assert pixels_of(backend.requests[0]).shape == (20, 12, 3)
    assert (pixels_of(backend.requests[1]) == 255).all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (PIXELS.astype(np.float32), "float32"),
        (PIXELS[:, :, 0], r"expected uint8 \(H, W, 3\)"),
        (PIXELS[:0], r"\(0, 20, 3\)"),
        (Image.new("F", (4, 4)), "mode F"),
        (Image.new("I;16", (4, 4)), "mode I;16"),
        (io.StringIO("text"), "mode 'rb'"),
        (17, "int"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_photo_is_an_error_of_the_caller(client: Client, given: Any, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        client.score(given)


def test_a_file_that_cannot_be_scored_is_an_answer(client: Client, backend: FakeBackend, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    notes = client.score(tmp_path / "notes.txt")
    gone = client.score(tmp_path / "gone.jpg")
    assert (notes.status, notes.faces) == (Status.UNSUPPORTED, ())
    assert (gone.status, gone.reason) == (Status.FAILED, "cannot be read: No such file or directory")
    assert client.score(b"").status is Status.UNSUPPORTED
    assert backend.requests == []


def test_the_json_of_a_photo_holds_what_is_known(client: Client) -> None:
    record = json.loads(json.dumps(client.score(PIXELS).to_dict()))
    assert record["source"] is None
    assert record["status"] == "ok"
    assert record["faces"][0]["gender_probability"] == {"female": 0.5, "male": 0.5}
    assert len(record["faces"][0]["landmarks"]) == 5
    assert "attractiveness" not in record["faces"][0]


def test_many_photos_come_in_the_order_given_and_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def photos() -> Iterator[NDArray[np.uint8]]:
        for number, photo in enumerate(numbered(50)):
            taken.append(number)
            yield photo

    with Client(backend=SlowFirst().backend) as client:
        answers = client.score_many(photos(), concurrency=4)
        assert taken == []
        assert len(next(answers).faces) == 0
        assert len(taken) == 4
        assert [len(photo.faces) for photo in answers] == list(range(1, 50))


def test_photos_are_taken_in_the_thread_that_takes_the_answers(client: Client) -> None:
    threads = set()

    def photos() -> Iterator[NDArray[np.uint8]]:
        for photo in numbered(8):
            threads.add(threading.current_thread())
            yield photo

    assert len(list(client.score_many(photos()))) == 8
    assert threads == {threading.current_thread()}


def test_an_unavailable_server_ends_the_iteration_and_gives_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        if pixels_of(data)[0, 0, 0] == 3:
            raise ServerUnavailableError("gone")
        return answer(1, outputs)

    with Client(backend=FakeBackend(respond)) as client:
        answers = client.score_many(numbered(20), concurrency=2)
        assert [next(answers).status for _ in range(3)] == [Status.OK] * 3
        with pytest.raises(ServerUnavailableError, match="gone"):
            next(answers)
        assert client.score(np.zeros_like(PIXELS[:1])).status is Status.OK


def test_photos_without_an_answer_are_handed_over_and_the_others_go_on() -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        number = int(pixels_of(data)[0, 0, 0])
        if number == 3:
            raise InferenceError("no")
        return answer(number, outputs)

    unanswered: list[tuple[int, str]] = []

    def note(photo: Any, exc: InferenceError) -> None:
        unanswered.append((int(photo[0, 0, 0]), str(exc)))

    with Client(backend=FakeBackend(respond)) as client:
        answers = client.score_many(numbered(6), concurrency=2, on_unanswered=note)
        assert [len(photo.faces) for photo in answers] == [0, 1, 2, 4, 5]
    assert unanswered == [(3, "no")]

    async def score() -> list[int]:
        async with AsyncClient(backend=FakeBackend(respond)) as other:
            answers = other.score_many(numbered(6), concurrency=2, on_unanswered=note)
            return [len(photo.faces) async for photo in answers]

    assert asyncio.run(score()) == [0, 1, 2, 4, 5]
    assert unanswered == [(3, "no")] * 2


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_below_one_is_refused(client: Client, concurrency: int) -> None:
    with pytest.raises(InvalidInputError, match="1 or more"):
        list(client.score_many(numbered(1), concurrency=concurrency))


def test_several_threads_and_a_running_event_loop_may_use_one_client(client: Client) -> None:
    answers: list[ScoredPhoto] = []
    threads = [threading.Thread(target=lambda: answers.append(client.score(PIXELS))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def as_in_a_notebook() -> ScoredPhoto:
        return client.score(PIXELS)

    answers.append(asyncio.run(as_in_a_notebook()))
    assert [len(photo.faces) for photo in answers] == [2] * 9


def test_the_asynchronous_client_gives_the_same(photos: Path) -> None:
    async def given() -> Any:
        for photo in numbered(5):
            yield photo

    async def score() -> tuple[ScoredPhoto, list[int], list[int]]:
        async with AsyncClient(backend=SlowFirst().backend) as client:
            one = await client.score(photos / "hopper.jpg")
            many = [len(photo.faces) async for photo in client.score_many(numbered(30), concurrency=3)]
            streamed = [len(photo.faces) async for photo in client.score_many(given(), concurrency=3)]
            return one, many, streamed

    one, many, streamed = asyncio.run(score())
    assert one.status is Status.OK
    assert (many, streamed) == (list(range(30)), list(range(5)))


def test_a_client_needs_one_server() -> None:
    for make in (Client, AsyncClient):
        with pytest.raises(InvalidInputError, match="embedded"):
            make()
        with pytest.raises(InvalidInputError, match="not HOST:PORT"):
            make("localhost")
        with pytest.raises(InvalidInputError, match="either"):
            make("localhost:8001", backend=FakeBackend())


def test_what_is_served_is_told(client: Client) -> None:
    assert client.served() == ensemble().models


def test_ingest_writes_parts_tells_how_far_it_is_and_goes_on(
    client: Client, backend: FakeBackend, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(numbered(5)):
        Image.fromarray(photo).save(folder / f"{number}.png")
    seen: list[Any] = []
    summary = client.ingest(folder, out=tmp_path / "results", part_size=2, progress=seen.append)
    assert (summary.num_rows, summary.num_faces, summary.exit_code) == (5, 10, 0)
    assert [(one.unit, one.done, one.total) for one in seen] == [("photo", n, 5) for n in range(1, 6)]
    again = client.ingest([str(folder)], tmp_path / "results")
    assert (again.num_rows, again.num_done_before) == (0, 5)
    assert len(backend.requests) == 5
    done = client.ingest([folder], out=tmp_path / "results", retry_statuses=[Status.OK])
    assert done.num_rows == 5


def test_ctrl_c_ends_an_ingest_with_everything_done_written(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(numbered(40)):
        Image.fromarray(photo).save(folder / f"{number:02}.png")

    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        time.sleep(0.01)
        return answer(1, outputs)

    def interrupt(progress: fsclient.IngestProgress) -> None:
        if progress.done == 10:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with Client(backend=FakeBackend(respond)) as client:
        summary = client.ingest(folder, tmp_path / "results", concurrency=2, progress=interrupt)
        assert summary.interrupted
        assert summary.exit_code == 130
        assert 10 <= summary.num_rows < 40
        assert signal.getsignal(signal.SIGINT) is before
        rest = client.ingest(folder, tmp_path / "results")
        assert (rest.num_done_before, rest.num_rows) == (summary.num_rows, 40 - summary.num_rows)


def test_a_cancelled_ingest_has_written_what_was_done(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(numbered(40)):
        Image.fromarray(photo).save(folder / f"{number:02}.png")

    async def run() -> int:
        async with AsyncClient(backend=FakeBackend(1)) as client:
            done = asyncio.Event()

            def tell(progress: fsclient.IngestProgress) -> None:
                if progress.done == 7:
                    done.set()

            task = asyncio.create_task(client.ingest(folder, tmp_path / "results", concurrency=1, progress=tell))
            await done.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await client.ingest(folder, tmp_path / "results")).num_done_before

    assert 7 <= asyncio.run(run()) < 40
