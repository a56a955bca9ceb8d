"""Memory is bounded by the pixels in flight, and one photo is always let in."""

from __future__ import annotations

import asyncio
from pathlib import Path

from PIL import Image

from fsclient import AsyncClient
from fsclient.photos.room import Room
from fsclient.testing import FakeBackend


def most_held(sizes: list[int], limit: int) -> tuple[int, list[int]]:
    """Return the most pixels that were in flight at once, and the order in which photos were let in."""

    async def run() -> tuple[int, list[int]]:
        room = Room(limit)
        held, most = 0, 0
        order: list[int] = []

        async def one(size: int) -> None:
            nonlocal held, most
            async with room.hold(size):
                order.append(size)
                held += size
                most = max(most, held)
                await asyncio.sleep(0)
                held -= size

        await asyncio.gather(*map(one, sizes))
        return most, order

    return asyncio.run(asyncio.wait_for(run(), 10))


def test_no_more_pixels_are_in_flight_than_there_is_room_for() -> None:
    sizes = [60, 60, 30, 10, 0, 100, 1]
    most, order = most_held(sizes, 100)
    assert most <= 100
    assert order == sizes


def test_a_photo_larger_than_all_room_goes_alone() -> None:
    most, order = most_held([5, 500, 5], 100)
    assert most == 500
    assert order == [5, 500, 5]


def test_photos_given_up_make_room() -> None:
    async def run() -> None:
        room = Room(10)

        async def hold() -> None:
            async with room.hold(10):
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(hold()) for _ in range(2)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with room.hold(10):
            pass

    asyncio.run(asyncio.wait_for(run(), 10))


def test_photos_are_turned_by_number_and_converted_on_the_way(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (20, 12)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (20, 12)).save(tmp_path / "alpha.png")

    async def run() -> list[str | None]:
        async with AsyncClient(backend=backend) as client:
            paths = [tmp_path / "turned.jpg", tmp_path / "alpha.png"]
            return [photo.converted async for photo in client.score_many(paths, concurrency=1)]

    backend = FakeBackend(1)
    assert asyncio.run(run()) == [None, "alpha on white"]
    assert backend.orientations == [6, 1]
    assert backend.requests[0] == (tmp_path / "turned.jpg").read_bytes()
    assert backend.requests[1][:2] == b"BM"
