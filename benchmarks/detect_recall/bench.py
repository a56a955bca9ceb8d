"""How many faces does a detect graph find? Counts on photos whose faces have been counted, and time per photo.

    python benchmarks/detect_recall/bench.py MODEL.onnx ASSETS

ASSETS is the folder of the test assets (`samples/MANIFEST.tsv` in it). Photos go through the real decode step. Exit
code 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.packs.shipped import shipped_folder
from fsengine.photo.convert import make_ready
from fsengine.photo.gate import Refusal, judge

EXACT_LIMIT = 0.90
"""Share of counted photos whose number of faces is exact."""
SOLVAY = "photos/group/solvay_conference_1927.png"
SOLVAY_LIMIT = 20
"""Faces of 29."""
FOUND_LIMIT = 0.98
"""Share of labelled face crops with a face."""
SINGLE_LIMIT = 0.95
"""Share of labelled face crops with exactly one."""
EXIF_LIMIT_PX = 2.0
"""The most that a box of an EXIF variant may lie beside that of the first, in pixels of the photo."""
TIMED_PHOTOS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One photo as the detect step sees it.

    Attributes:
        file: Its path below `samples/`.
        counted: The manifest's `faces`.
        square: uint8 (640, 640, 3), the detector's input.
        scale: float32 (2,): detector pixels per pixel of the photo, x and y.
    """

    file: str
    counted: str
    square: NDArray[np.uint8]
    scale: NDArray[np.float32]


@dataclass(slots=True)
class Totals:
    """What has been counted so far."""

    photos: int = 0
    exact: int = 0
    crops: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    single: dict[str, int] = field(default_factory=dict)
    exif_boxes: list[NDArray[np.float32]] = field(default_factory=list)
    solvay: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take every n-th labelled crop")
    arguments = parser.parse_args()
    print_machine(arguments.model)
    session = open_session(arguments.model, os.cpu_count() or 1)
    totals = Totals()
    timed: list[NDArray[np.uint8]] = []
    for photo in decoded_photos(arguments.assets / "samples", arguments.every):
        count_faces(session, photo, totals)
        if photo.file.startswith("photos/") and len(timed) < TIMED_PHOTOS:
            timed.append(photo.square)
    for threads in (1, 2):
        print(f"{threads} threads: {milliseconds(open_session(arguments.model, threads), timed):.1f} ms a photo")
    return report(totals)


def print_machine(model: Path) -> None:
    import onnxruntime as ort
    from nvidia import dali

    versions = f"onnxruntime {ort.__version__}, DALI {dali.__version__}, Python {platform.python_version()}"
    print(f"{model.name} ({model.stat().st_size} bytes); {platform.machine()}, {os.cpu_count()} cores; {versions}")


def open_session(model: Path, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def decoded_photos(samples: Path, every: int) -> Iterator[Photo]:
    """Yield the photos that the decode step can read; names of the others are printed."""
    decode = load_decode_step()
    pipeline = built_pipeline(decode)
    with (samples / "MANIFEST.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    crops = 0
    for row in rows:
        name = row["file"]
        if name.startswith("labelled/") and name.endswith(".jpg"):
            crops += 1
            if crops % every:
                continue
        elif not name.startswith(("photos/", "derived/astronaut_exif")):
            continue
        try:
            data = (samples / name).read_bytes()
            ready = make_ready(data, judge(data))
            if isinstance(ready, Refusal):
                print(f"{name}: not decoded ({ready.reason})")
                continue
            pipeline.feed_input("encoded_image", [np.frombuffer(ready.data, np.uint8)])
            pipeline.feed_input("orientation", [np.array([ready.orientation], np.uint8)])
            _, square, scale, *_ = (np.array(output[0]) for output in pipeline.run())
        except RuntimeError as exc:
            print(f"{name}: not decoded ({str(exc).strip().splitlines()[0]})")
            pipeline = built_pipeline(decode)  # a pipeline that has failed stays unusable
            continue
        yield Photo(file=name, counted=row["faces"], square=square, scale=scale)


def load_decode_step() -> ModuleType:
    path = shipped_folder("model_repository") / "decode" / "1" / "dali.py"
    spec = importlib.util.spec_from_file_location("decode_step", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built_pipeline(decode: ModuleType) -> Any:
    """Return the decode pipeline with what it is fed and what it gives in step."""
    options = {"prefetch_queue_depth": 1, "exec_async": False, "exec_pipelined": False}
    pipeline = decode.decode(batch_size=1, num_threads=2, **options)
    pipeline.build()
    return pipeline


def count_faces(session: Any, photo: Photo, totals: Totals) -> None:
    """Add one photo to the totals and print it where its count differs from the counted faces."""
    boxes, _, scores, truncated = session.run(None, {"detector_input": photo.square[None]})
    count = int((scores[0] > 0).sum())
    if photo.file.startswith("derived/"):
        totals.exif_boxes.append(boxes[0, :count] / np.tile(photo.scale, 2))
    elif photo.file.startswith("labelled/"):
        source = photo.file.split("/")[1]
        for table, hit in ((totals.crops, True), (totals.found, count >= 1), (totals.single, count == 1)):
            table[source] = table.get(source, 0) + hit
        if count != 1:
            print(f"{photo.file}: {count} of 1")
    else:
        if photo.counted.isdigit():
            totals.photos += 1
            totals.exact += count == int(photo.counted)
        if photo.file == SOLVAY:
            totals.solvay = count
        if count != leading_number(photo.counted):
            print(f"{photo.file}: {count} of {photo.counted or '?'}{', cut at the limit' if truncated[0, 0] else ''}")


def leading_number(counted: str) -> int | None:
    """Return the number of "7" or "7 by detector", None of "~10", "17-19" or "detectors disagree: 2/1"."""
    words = counted.split()
    return int(words[0]) if words and words[0].isdigit() else None


def milliseconds(session: Any, squares: list[NDArray[np.uint8]]) -> float:
    """Return the wall time of one photo alone, averaged over all after one unmeasured run."""
    session.run(None, {"detector_input": squares[0][None]})
    start = time.perf_counter()
    for square in squares:
        session.run(None, {"detector_input": square[None]})
    return (time.perf_counter() - start) / len(squares) * 1000


def report(totals: Totals) -> int:
    """Print the totals beside their limits and return the exit code."""
    rows = [
        ("photos with the exact count", totals.exact / totals.photos, EXACT_LIMIT),
        ("faces of the Solvay photo", float(totals.solvay), float(SOLVAY_LIMIT)),
    ]
    for source, crops in totals.crops.items():
        rows.append((f"{source}: crops with a face", totals.found[source] / crops, FOUND_LIMIT))
        rows.append((f"{source}: crops with exactly one", totals.single[source] / crops, SINGLE_LIMIT))
    missed = False
    for name, value, limit in rows:
        missed |= value < limit
        print(f"{'ok  ' if value >= limit else 'MISS'} {name}: {value:.4g} (limit {limit:.4g})")
    print(f"     {totals.exact} of {totals.photos} photos exact; crops {totals.crops}")
    same_count = len({len(boxes) for boxes in totals.exif_boxes}) == 1
    apart = max(float(np.abs(b - totals.exif_boxes[0]).max()) for b in totals.exif_boxes) if same_count else np.inf
    missed |= apart > EXIF_LIMIT_PX
    print(f"{'ok  ' if apart <= EXIF_LIMIT_PX else 'MISS'} EXIF variants apart: {apart:.2f} px (limit {EXIF_LIMIT_PX})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
