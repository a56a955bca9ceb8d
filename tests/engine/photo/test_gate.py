"""The gate says of every photo what it is, without Pillow and without raising."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from encoded_photos import NOT_PLAIN, PLAIN, chunk, encoded
from fsengine.photo.gate import Gate, Refused, judge
from plain_headers import PLAIN_JPEG, PLAIN_PNG


@pytest.mark.parametrize("name", PLAIN)
def test_plain_photos_pass_with_their_orientation(name: str) -> None:
    data, orientation = PLAIN[name]
    gate = judge(data)
    assert gate.is_plain, gate
    assert (gate.width, gate.height, gate.orientation) == (20, 12, orientation)


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_says_why(name: str) -> None:
    data, reason, orientation = NOT_PLAIN[name]
    gate = judge(data)
    assert (gate.convert, gate.refusal, gate.orientation) == (reason, None, orientation)


def test_headers_for_other_tests_are_plain() -> None:
    assert judge(PLAIN_JPEG + b"x").is_plain
    assert judge(PLAIN_PNG + b"x").is_plain


def of_size(width: int, height: int) -> bytes:
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"tEXt", b"a" * (2 << 20)) + chunk(b"IDAT", b"")


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((20_000, 10_000), None),
        ((20_001, 10_000), "20001 x 10000 pixels, at most 200000000 are decoded"),
        ((100_000, 100_000), "100000 x 100000 pixels, at most 200000000 are decoded"),
    ],
)
def test_no_text_hides_the_number_of_pixels(size: tuple[int, int], reason: str | None) -> None:
    refusal = judge(of_size(*size)).refusal
    assert refusal == (None if reason is None else (Refused.TOO_LARGE, reason))


def dng(tag: bytes) -> bytes:
    return b"II*\x00" + struct.pack("<IH", 8, 1) + tag + bytes(4)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty"),
        (b"BMW notes: the engine is loud, and more text follows here", "not a known photo format"),
        (b"P60 is a number", "not a known photo format"),
        (encoded("GIF"), "GIF is not read"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(12), "HEIC is not read; pip install 'facestats\\[heic\\]'"),
        (b"\xff\x0a" + bytes(20), "JPEG XL is not read; save it as"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "camera raw \\(CR2\\) is not read; develop it"),
        (dng(struct.pack("<HHII", 50706, 1, 4, 1)), "camera raw"),
        (dng(struct.pack("<HHII", 254, 4, 1, 1)), "camera raw"),
        (encoded("TIFF", Image.new("F", (4, 4))), "floating-point"),
    ],
)
def test_what_is_not_read_is_named_with_the_way_out(data: bytes, told: str) -> None:
    import re

    from fsengine.photo.gate import _reads_heic

    if b"heic" in data and _reads_heic():
        pytest.skip("pillow_heif is installed")
    refusal = judge(data).refusal
    assert refusal is not None
    assert refusal.status is Refused.UNSUPPORTED
    assert re.search(told, refusal.reason)


def test_no_bytes_make_it_raise() -> None:
    rng = np.random.default_rng(1)
    known: list[Any] = [*PLAIN.values(), *NOT_PLAIN.values()]
    samples = [data for data, *_ in known if len(data) < 1 << 20]
    for _ in range(3000):
        data = bytearray(samples[rng.integers(len(samples))])
        for position in rng.integers(0, min(len(data), 300), 4):
            data[position] = rng.integers(256)
        assert isinstance(judge(bytes(data[: rng.integers(1, len(data) + 1)])), Gate)


def test_size_and_orientation_are_those_that_pillow_reads(shared: Path) -> None:
    files = [path for path in sorted((shared / "samples" / "photos").rglob("*")) if path.is_file()]
    compared = 0
    for path in [*files, *sorted((shared / "samples" / "derived").iterdir())]:
        gate = judge(path.read_bytes())
        if gate.refusal is not None or path.suffix == ".tif":
            continue
        with Image.open(path) as image:
            number = image.getexif().get(274, 1)
            found = (*image.size, number if number in range(1, 9) else 1)
        assert (gate.width, gate.height, gate.orientation) == found, path
        compared += 1
    assert compared > 100


def test_the_gate_takes_no_pillow_with_it() -> None:
    program = "import sys, fsengine.photo.gate, fsengine.photo.convert; assert 'PIL' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
