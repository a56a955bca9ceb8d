"""Photos that are not plain come out as a viewer shows them; whatever their converter does, it costs one answer."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoded_photos import NOT_PLAIN, PICTURE, PLAIN, encoded, exif, jpeg
from fsengine.errors import InvalidInputError
from fsengine.photo.convert import Converter, Ready, bitmap_pixels, decoding_error, make_ready, read_pixels
from fsengine.photo.convert_worker import FORMATS, STATUSES
from fsengine.photo.gate import READ_FORMATS, Refusal, Refused, judge

LOSSLESS = ("tiff", "ppm", "png with two exif", "png with a wrong sum", "png with late exif", "broken profile")


def ready(data: bytes) -> Ready:
    found = make_ready(data, judge(data))
    assert isinstance(found, Ready), found
    return found


@pytest.mark.parametrize("name", sorted(NOT_PLAIN.keys() - {"cut bmp", "cut header", "many segments"}))
def test_a_converted_photo_is_plain_and_says_why(name: str) -> None:
    data, reason, orientation = NOT_PLAIN[name]
    found = ready(data)
    gate = judge(found.data)
    assert gate.is_plain
    assert (found.orientation, gate.orientation) == (1, 1)
    assert found.converted is not None
    assert found.converted.startswith(reason)
    stored = judge(data)
    assert (gate.width, gate.height) == (
        (stored.height, stored.width) if orientation > 4 else (stored.width, stored.height)
    )


@pytest.mark.parametrize("name", LOSSLESS)
def test_pixels_stay_where_nothing_is_wrong_with_them(name: str) -> None:
    data, _, orientation = NOT_PLAIN[name]
    upright = PICTURE.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else PICTURE
    np.testing.assert_array_equal(bitmap_pixels(ready(data).data), np.asarray(upright))


def test_a_plain_photo_is_sent_as_it_is() -> None:
    data, orientation = PLAIN["turned jpeg"]
    assert ready(data) == (data, orientation, None)


def test_what_alpha_hides_is_white() -> None:
    image = Image.new("RGBA", (4, 2), (255, 0, 0, 0))
    image.putpixel((1, 1), (0, 0, 255, 255))
    pixels = bitmap_pixels(ready(encoded("PNG", image)).data)
    assert pixels[1, 1].tolist() == [0, 0, 255]
    assert (np.delete(pixels.reshape(-1, 3), 5, axis=0) == 255).all()


def test_16_bits_become_8_by_their_full_range() -> None:
    image = Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))
    pixels = bitmap_pixels(ready(encoded("PNG", image)).data)
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 255]


def test_a_tiff_is_turned_once_and_by_its_first_tag() -> None:
    for number, turn in ((1, None), (3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_270)):
        data = encoded("TIFF", tiffinfo={274: number})
        upright = PICTURE if turn is None else PICTURE.transpose(turn)
        np.testing.assert_array_equal(read_pixels(data), np.asarray(upright))


def test_an_avif_is_read_as_its_boxes_turn_it() -> None:
    features = pytest.importorskip("PIL.features")
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    assert ready(encoded("AVIF", quality=100, exif=b"Exif\0\0" + exif(6))).converted == "AVIF"
    assert read_pixels(encoded("AVIF", exif=b"Exif\0\0" + exif(6))).shape == (20, 12, 3)


def test_read_pixels_turns_plain_photos_too() -> None:
    assert read_pixels(jpeg(b"Exif\0\0" + exif(6))).shape == (20, 12, 3)
    with pytest.raises(InvalidInputError, match="corrupt: decode failed"):
        read_pixels(encoded("JPEG")[:40])
    with pytest.raises(InvalidInputError, match="unsupported: GIF"):
        read_pixels(encoded("GIF"))


def test_what_cannot_be_converted_is_corrupt() -> None:
    found = make_ready(encoded("TIFF")[:-300], judge(encoded("TIFF")[:-300]))
    assert isinstance(found, Refusal)
    assert found.status is Refused.CORRUPT
    assert found.reason.startswith("decode failed: ")
    assert decoding_error(encoded("JPEG")) is None
    assert "truncated" in str(decoding_error(encoded("PNG")[:45]))


def test_no_memory_is_no_fault_of_the_photo_and_the_converter_lives() -> None:
    converter = Converter(1, memory_bytes=400 << 20)
    try:
        large = encoded("TIFF", Image.new("1", (14_000, 14_000)), compression="group4")
        refused = converter.convert(large, "TIFF", 1)
        assert isinstance(refused, Refusal)
        assert refused.status is Refused.FAILED
        assert "memory" in refused.reason
        (worker,) = converter._idle
        assert not isinstance(converter.convert(encoded("TIFF"), "TIFF", 1), Refusal)
        assert converter._idle == [worker]
    finally:
        converter.close()


def waits(_: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("number", "status", "told"),
    [
        (signal.SIGSEGV, Refused.CORRUPT, "died of it"),
        (signal.SIGABRT, Refused.FAILED, "gave out"),
        (signal.SIGKILL, Refused.FAILED, "gave out"),
        (None, Refused.FAILED, "more than 3 s"),
    ],
)
def test_a_converter_that_dies_costs_one_answer(
    monkeypatch: pytest.MonkeyPatch, number: int | None, status: Refused, told: str
) -> None:
    converter = Converter(1, timeout_s=3 if number is None else 60)

    def dies(memory_bytes: int) -> subprocess.Popen[bytes]:
        worker = waits(memory_bytes)
        if number is not None:
            threading.Timer(0.2, worker.send_signal, [number]).start()
        return worker

    with monkeypatch.context() as patched:
        patched.setattr("fsengine.photo.convert._started", dies)
        refused = converter.convert(b"x", "PNG", 1)
    assert isinstance(refused, Refusal)
    assert refused.status is status
    assert told in refused.reason
    assert not isinstance(converter.convert(encoded("TIFF"), "TIFF", 1), Refusal)
    os.kill(converter._idle[0].pid, signal.SIGKILL)  # while it waits: the next photo is not to blame
    assert not isinstance(converter.convert(encoded("TIFF"), "TIFF", 1), Refusal)
    converter.close()


def test_threads_share_the_converters_and_nothing_of_the_folder_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "struct.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    converter = Converter(2)
    found: list[object] = []
    data = encoded("TIFF")
    threads = [threading.Thread(target=lambda: found.append(converter.convert(data, "TIFF", 1))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(set(map(repr, found))) == 1
    assert not isinstance(found[0], Refusal)
    assert 1 <= len(converter._idle) <= 2
    converter.close()


def test_both_ends_name_formats_and_statuses_alike() -> None:
    assert FORMATS == READ_FORMATS
    assert STATUSES[1:] == ("corrupt", "unsupported", "too_large", "failed")


def mean_difference(shared: Path, name: str) -> float:
    folder = shared / "samples" / "reports" / "ICC"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    found, expected = (read_pixels((folder / file).read_bytes()).astype(int) for file in (name, "srgb.jpg"))
    return float(np.abs(found - expected).mean())


@pytest.mark.parametrize("name", ["display_p3.jpg", "adobe_rgb.webp"])
def test_colours_are_those_of_the_same_portrait_in_srgb(shared: Path, name: str) -> None:
    assert mean_difference(shared, name) < 2.5
