"""Photos between Pillow's own limit and the project's are read, larger ones refused, and Pillow stays as it was."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import pytest
from PIL import Image

from fsengine.contracts.preprocessing import MAX_PHOTO_PIXELS
from fsengine.photo.header import decoding_error, open_photo, too_many_pixels


def header_of(width: int, height: int) -> bytes:
    """Return a PNG without pixels that says it has so many."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((100, 100), None),
        ((10_000, 9_500), None),  # Pillow would warn
        ((20_000, 9_500), None),  # Pillow would refuse
        ((20_000, 10_000), None),
        ((20_001, 10_000), "20001 x 10000 pixels, at most 200000000 are decoded"),
        ((20_000, 20_000), "20000 x 20000 pixels, at most 200000000 are decoded"),
        ((20_001, 20_000), "more than 400000000 pixels, at most 200000000 are decoded"),
        ((100_000, 100_000), "more than 400000000 pixels, at most 200000000 are decoded"),
    ],
)
def test_the_project_s_limit_stands_in_place_of_pillow_s(size: tuple[int, int], reason: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert too_many_pixels(header_of(*size)) == reason


def test_a_large_photo_is_decoded_and_a_bomb_is_not() -> None:
    side = 9_500
    assert side * side > (Image.MAX_IMAGE_PIXELS or 0)
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoding_error(buffer.getvalue()) is None
    assert "exceeds limit of 400000000 pixels" in str(decoding_error(header_of(100_000, 100_000)))
    assert "cannot identify image file" in str(decoding_error(b"no photo"))


def test_importing_it_changes_nothing_of_pillow() -> None:
    program = (
        "import warnings; from PIL import Image; before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)\n"
        "import fsengine.photo.header\n"
        "assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_pillow_s_own_limit_is_back_after_photos_good_and_bad(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    data = header_of(20_000, 9_500)
    (tmp_path / "photo.png").write_bytes(data)

    def read() -> None:
        for _ in range(50):
            with open_photo(data) as one, open_photo(tmp_path / "photo.png") as other:
                assert one.size == other.size == (20_000, 9_500)
            with pytest.raises(OSError, match="cannot identify"):
                open_photo(b"no photo")

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before is not None
    assert before == Image.MAX_IMAGE_PIXELS < MAX_PHOTO_PIXELS
    with pytest.raises(Image.DecompressionBombError):
        open_photo(header_of(100_000, 100_000))
    assert before == Image.MAX_IMAGE_PIXELS
