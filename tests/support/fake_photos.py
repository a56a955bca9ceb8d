"""Photos made of numbers, and a backend that tells them apart: what the tests of the library hand in."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsclient.testing import FakeBackend, answer

PIXELS = np.arange(12 * 20 * 3, dtype=np.uint8).reshape(12, 20, 3)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


class SlowFirst:
    """A backend whose first photo takes longest, and which counts what is under way."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.backend = FakeBackend(self._respond)

    def _respond(self, data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        return answer(int(pixels_of(data)[0, 0, 0]), outputs)


def numbered(count: int) -> Iterator[NDArray[np.uint8]]:
    for number in range(count):
        yield np.full((4, 4, 3), number % 200, np.uint8)


def many_photos(folder: Path, count: int = 40) -> Path:
    folder.mkdir()
    for number, photo in enumerate(numbered(count)):
        Image.fromarray(photo).save(folder / f"{number:02}.png")
    return folder
