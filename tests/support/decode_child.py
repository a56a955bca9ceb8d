"""Decode photos, named or made by a seeded mutation, beside one that must not change; run in a process of its own.

    python decode_child.py FOLDER                the files of a folder
    python decode_child.py SEED COUNT            mutated photos

Prints a JSON object: how many were decoded, converted, refused, gave a clean error, and changed their neighbour.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsengine.backends.dali_loading import build_pipeline, serialize_pipeline
from fsengine.packs.shipped import shipped_folder
from fsengine.photo.convert import make_ready
from fsengine.photo.gate import Refusal, judge

Outputs = list[NDArray[np.generic]]

_HEAD_BYTES = 700
"""Where most bytes are changed: in headers."""


class Decoder:
    """The decode step, two photos at a time, the second always the same."""

    def __init__(self) -> None:
        path = shipped_folder("model_repository") / "decode" / "1" / "dali.py"
        self._serialized = serialize_pipeline(path, 2)
        self._pipeline = build_pipeline(self._serialized, 2, 2)
        self._neighbour = encoded("JPEG", 320, 240, quality=90)
        self._expected = self._run(self._neighbour, 1)

    def _run(self, data: bytes, orientation: int) -> Outputs:
        """Return the outputs of the neighbour of a photo."""
        photos = [np.frombuffer(photo, np.uint8) for photo in (data, self._neighbour)]
        self._pipeline.feed_input("encoded_image", photos)
        self._pipeline.feed_input("orientation", [np.array([number], np.uint8) for number in (orientation, 1)])
        return [np.array(output.as_cpu()[1]) for output in self._pipeline.run()]

    def outcome(self, data: bytes) -> str:
        """Send a photo through gate, converter and decoder, and say what became of it."""
        ready = make_ready(data, judge(data))
        if isinstance(ready, Refusal):
            return "converter died" if "died of it" in ready.reason else "refused"
        try:
            found = self._run(ready.data, ready.orientation)
        except RuntimeError:
            self._pipeline = build_pipeline(self._serialized, 2, 2)
            return "clean error"
        if not all(np.array_equal(a, b) for a, b in zip(found, self._expected, strict=True)):
            return "neighbour changed"
        return "decoded" if ready.converted is None else "converted"


def encoded(kind: str, width: int, height: int, **options: object) -> bytes:
    """Return a photo with smooth and noisy parts."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(5).integers(0, 60, (height, width))
    pixels = np.stack([x * 190 // width + noise, y * 190 // height + noise, (x + y) % 190 + noise], axis=2)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8), "RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def _exif(rng: np.random.Generator) -> bytes:
    entries = [(274, 3, 1, int(rng.integers(0, 10))) for _ in range(rng.integers(1, 3))]
    body = b"".join(struct.pack("<HHIHH", *entry, 0) for entry in entries)
    return b"II*\x00" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


def _bases() -> list[bytes]:
    rng = np.random.default_rng(6)
    exif = [b"Exif\0\0" + _exif(rng) for _ in range(4)]
    return [
        encoded("JPEG", 160, 120, exif=exif[0]),
        encoded("JPEG", 121, 163, progressive=True, exif=exif[1]),
        encoded("PNG", 160, 120, exif=exif[2]),
        encoded("PNG", 99, 140),
        encoded("WEBP", 160, 120, exif=exif[3]),
        encoded("WEBP", 90, 120, lossless=True),
        encoded("TIFF", 160, 120, tiffinfo={274: 6}),
        encoded("TIFF", 90, 120, compression="tiff_lzw"),
    ]


def mutated(seed: int, count: int) -> Iterator[bytes]:
    """Yield photos with bytes changed, cut off, doubled, or with one Exif block more."""
    rng = np.random.default_rng(seed)
    bases = _bases()
    for _ in range(count):
        data = bytearray(bases[rng.integers(len(bases))])
        match rng.integers(8):
            case 0:
                block = _exif(rng)
                if data[:2] == b"\xff\xd8":
                    data[2:2] = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
                elif data[1:4] == b"PNG":
                    chunk = b"eXIf" + block
                    wrong = int(rng.integers(2))
                    data[33:33] = struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk) ^ wrong)
            case 1:
                start, size = (int(n) for n in rng.integers(0, 200, 2))
                data[start:start] = data[start : start + size]
            case 2:
                del data[int(rng.integers(20, len(data))) :]
            case _:
                pass
        for position in rng.integers(2, min(len(data), _HEAD_BYTES), rng.integers(0, 3)):
            data[position] = rng.integers(256)
        yield bytes(data)


def main(arguments: list[str]) -> None:
    """Decode what the arguments name, and print what became of it."""
    os.environ.pop("LD_PRELOAD", None)  # of the guard allocator: the converter's address space is too small for it
    decoder = Decoder()
    if len(arguments) == 1:
        photos: Iterator[bytes] = (path.read_bytes() for path in sorted(Path(arguments[0]).iterdir()))
    else:
        photos = mutated(int(arguments[0]), int(arguments[1]))
    sys.stdout.write(json.dumps(Counter(map(decoder.outcome, photos))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
