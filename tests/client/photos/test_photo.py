from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from fsclient.photos.photo_file import read_photo
from fsdata.results.status import Status


def encoded(form: str, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_photos_are_read_with_hash_size_and_time(tmp_path: Path, form: str) -> None:
    path = tmp_path / "photo"
    path.write_bytes(encoded(form))
    photo = read_photo(bytes(path))
    assert photo.refusal is None
    assert photo.data == path.read_bytes()
    assert photo.file.content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (photo.file.num_bytes, photo.file.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", Status.UNSUPPORTED, "empty"),
        (encoded("GIF"), Status.UNSUPPORTED, "GIF is not read; expected AVIF, BMP"),
        (b"hello", Status.UNSUPPORTED, "not a known photo format"),
        (b"%PDF-1.7", Status.UNSUPPORTED, "PDF is not read"),
    ],
)
def test_what_is_no_photo_is_refused(tmp_path: Path, content: bytes, status: Status, reason: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    refusal = read_photo(bytes(path)).refusal
    assert refusal is not None
    assert refusal[0] is status
    assert reason in refusal[1]


def test_a_photo_with_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    header = bytearray(encoded("BMP"))
    header[18:26] = (30_000).to_bytes(4, "little") * 2
    path = tmp_path / "bomb.bmp"
    path.write_bytes(header)
    refusal = read_photo(bytes(path)).refusal
    assert refusal is not None
    assert refusal[0] is Status.TOO_LARGE


def test_a_broken_header_is_left_to_the_server(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0broken")
    assert read_photo(bytes(path)).refusal is None


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refusal = read_photo(bytes(tmp_path / "pipe")).refusal
    assert refusal == (Status.UNSUPPORTED, "not a regular file")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    refusal = read_photo(bytes(tmp_path / "gone.jpg")).refusal
    assert refusal is not None
    assert refusal[0] is Status.FAILED
