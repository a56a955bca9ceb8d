"""The library used hard, on the fake backend: what callers raise, close, fork, interrupt and get wrong."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import fsclient
from fake_photos import PIXELS, SlowFirst, many_photos, pixels_of
from fsclient import AsyncClient, Client, InvalidInputError, Status
from fsclient.testing import FakeBackend, answer


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("mine"), asyncio.CancelledError()])
def test_what_progress_raises_ends_the_run_at_once_and_is_raised(error: BaseException, tmp_path: Path) -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        time.sleep(0.02)
        return answer(1, outputs)

    backend = FakeBackend(respond)

    def fail(progress: fsclient.IngestProgress) -> None:
        if progress.done == 3:
            raise error

    photos = many_photos(tmp_path / "photos")
    with Client(backend=backend) as client:
        with pytest.raises(type(error)):
            client.ingest(photos, tmp_path / "out", concurrency=1, part_size=5, progress=fail)
        done = len(backend.requests)
        assert done < 40
        summary = client.ingest(photos, tmp_path / "out")
        assert summary.num_done_before == done
        assert summary.num_left == 0


def test_what_a_backend_raises_arrives_and_the_next_call_works() -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        if pixels_of(data)[0, 0, 0] == 3:
            raise SystemExit(3)
        return answer(1, outputs)

    with Client(backend=FakeBackend(respond)) as client:
        with pytest.raises(SystemExit):
            client.score(np.full((2, 2, 3), 3, np.uint8))
        assert client.score(PIXELS).status is Status.OK


def test_a_client_may_be_called_while_it_reports(tmp_path: Path) -> None:
    with Client(backend=FakeBackend(2)) as client:
        seen: list[int] = []
        client.ingest(
            many_photos(tmp_path / "photos", 5),
            tmp_path / "out",
            progress=lambda _: seen.append(len(client.score(PIXELS).faces)),
        )
    assert seen == [2] * 5


def test_from_inside_its_own_loop_a_blocking_client_is_refused() -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        client.score(PIXELS)
        return answer(1, outputs)

    with Client(backend=FakeBackend(respond)) as client, pytest.raises(InvalidInputError, match="AsyncClient"):
        client.score(PIXELS)


def test_what_is_yielded_is_what_is_scored() -> None:
    buffer = np.zeros((8, 8, 3), np.uint8)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for number in range(30):
            buffer[:] = number
            yield buffer

    async def asynchronous() -> list[int]:
        async with AsyncClient(backend=SlowFirst().backend) as client:
            return [len(photo.faces) async for photo in client.score_many(frames())]

    with Client(backend=SlowFirst().backend) as client:
        assert [len(photo.faces) for photo in client.score_many(frames())] == list(range(30))
    assert asyncio.run(asynchronous()) == list(range(30))


def test_files_and_images_may_be_closed_once_they_are_taken(client: Client, photos: Path) -> None:
    def files() -> Iterator[Any]:
        for _ in range(8):
            with (photos / "hopper.jpg").open("rb") as file:
                yield file
            with Image.open(photos / "hopper.jpg") as image:
                yield image

    assert {photo.status for photo in client.score_many(files(), concurrency=4)} == {Status.OK}
    with Image.open(photos / "hopper.jpg") as image:
        assert {photo.status for photo in client.score_many([image] * 8)} == {Status.OK}


@pytest.mark.parametrize("photos", ["photo.jpg", Path("photo.jpg"), b"bytes", None, 7])
def test_many_photos_must_be_many(photos: Any, client: Client) -> None:
    with pytest.raises(InvalidInputError, match="expected an iterable"):
        client.score_many(photos)
    with pytest.raises(InvalidInputError, match="expected an iterable"):
        AsyncClient(backend=FakeBackend()).score_many(photos)


def test_files_that_cannot_be_read_are_errors_of_the_caller(client: Client, photos: Path, tmp_path: Path) -> None:
    with (photos / "hopper.jpg").open("rb") as closed:
        pass
    with (photos / "hopper.jpg").open() as text, (tmp_path / "written").open("wb") as written:
        wrong: list[Any] = [closed, text, written, io.BytesIO, "a\0b", "\ud800.jpg"]
        for given in wrong:
            with pytest.raises(InvalidInputError):
                client.score(given)


def test_a_closed_client_says_so(backend: FakeBackend, tmp_path: Path) -> None:
    client = Client(backend=backend)
    client.score(PIXELS)
    client.close()
    client.close()
    calls: list[Callable[[], object]] = [
        lambda: client.score(PIXELS),
        client.served,
        lambda: list(client.score_many([PIXELS])),
        lambda: client.ingest(many_photos(tmp_path / "photos", 1), tmp_path / "out"),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError, match="is closed"):
            call()


def test_a_fork_leaves_its_parents_client_alone(client: Client) -> None:
    client.score(PIXELS)
    child = os.fork()
    if child == 0:
        try:
            client.score(PIXELS)
        except InvalidInputError as exc:
            client.close()
            os._exit(0 if "another process" in str(exc) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.score(PIXELS).status is Status.OK


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"concurrency": "8"}, "concurrency is '8'"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"part_size": 2.5}, "part_size is 2.5"),
        ({"retry_statuses": "failed"}, "expected a list of statuses"),
        ({"retry_statuses": ["bogus"]}, "'bogus' is not a valid Status"),
    ],
)
def test_wrong_arguments_of_ingest_are_named(
    client: Client, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInputError, match=told):
        client.ingest(many_photos(tmp_path / "photos", 1), tmp_path / "out", **options)


@pytest.mark.parametrize("address", ["localhost:99999", "localhost:0", "localhost:x", ":8001"])
def test_an_address_has_a_port_that_there_is(address: str) -> None:
    with pytest.raises(InvalidInputError, match="not HOST:PORT"):
        Client(address)


def test_however_often_one_interrupts_what_is_done_is_written(tmp_path: Path) -> None:
    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        time.sleep(0.03)
        return answer(1, outputs)

    def interrupt(progress: fsclient.IngestProgress) -> None:
        if progress.done == 20:
            for _ in range(4):
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.01)

    photos = many_photos(tmp_path / "photos")
    with Client(backend=FakeBackend(respond)) as client:
        summary = client.ingest(photos, tmp_path / "out", concurrency=2, progress=interrupt)
        assert summary.interrupted
        assert 20 <= summary.num_rows < 40
        again = client.ingest(photos, tmp_path / "out")
        assert again.num_done_before == summary.num_rows
