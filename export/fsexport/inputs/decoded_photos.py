"""Real photos as inputs of exports: listed, hashed, and decoded by the very step that serves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.photo_paths import PHOTO_SUFFIXES
from fsdata.sample_photos import sample_photos
from fsengine.backends.dali_loading import build_pipeline, serialize_pipeline
from fsengine.contracts.steps import DETECTOR_INPUT, ENCODED_IMAGE, ORIENTATION, decode_spec
from fsengine.errors import InvalidInputError
from fsengine.packs.shipped import shipped_folder
from fsengine.photo.convert import make_ready
from fsengine.photo.gate import Refusal, judge
from fsexport.artifact.exported import file_hashes

MOST_PHOTOS = 64
"""Photos that are looked at; more would make an export slow without saying more."""

Decoded = dict[str, NDArray[Any]]
"""The outputs of the decode step for one photo, each with a batch axis of 1."""


def default_photos() -> list[Path]:
    """Return every photo that ships: what an export is compared on where no other photos are given."""
    return [photo.path for photo in sample_photos()]


def list_photos(folder: Path) -> list[Path]:
    """Return the photos of a folder and all below it, at most `MOST_PHOTOS`.

    Raises:
        InvalidInputError: There is none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file())
    if not found:
        raise InvalidInputError(f"{folder} holds no photo; expected files such as *.jpg or *.png, for --photos")
    return found[:MOST_PHOTOS]


def photo_digest(photos: Sequence[Path]) -> str:
    """Return 16 hex digits of a hash over photos, whatever their names: they decide what was compared and calibrated.

    Raises:
        InvalidInputError: One cannot be read.
    """
    hashes = sorted(file_hashes(photo)[photo.name] for photo in photos)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def decoded(paths: Iterable[Path]) -> Iterator[Decoded | None]:
    """Decode photos as they are served: through the gate, then the decode step's own pipeline.

    Args:
        paths: Files.

    Returns:
        What the step gives of each, or None for one that is refused or does not decode.
    """
    pipeline_file = shipped_folder("model_repository") / "decode" / "1" / "dali.py"
    serialized = serialize_pipeline(pipeline_file, 1)
    pipeline = build_pipeline(serialized, 1, 1)
    names = [tensor.name for tensor in decode_spec().outputs]
    for path in paths:
        data = path.read_bytes()
        ready = make_ready(data, judge(data))
        if isinstance(ready, Refusal):
            yield None
            continue
        pipeline.feed_input(ENCODED_IMAGE.name, [np.frombuffer(ready.data, np.uint8)])
        pipeline.feed_input(ORIENTATION.name, [np.array([ready.orientation], np.uint8)])
        try:
            outputs = pipeline.run()
        except RuntimeError:
            pipeline = build_pipeline(serialized, 1, 1)  # one that failed answers nothing more
            yield None
            continue
        yield {name: np.array(output.as_cpu()[0])[None] for name, output in zip(names, outputs, strict=True)}


def detector_squares(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """Return the detect step's view of photos, uint8 (P, 640, 640, 3), RGB; what does not decode is left out.

    Raises:
        InvalidInputError: None decodes.
    """
    squares = [photo[DETECTOR_INPUT.name][0] for photo in decoded(paths) if photo is not None]
    if not squares:
        raise InvalidInputError(f"none of {len(paths)} photos decodes; give others with --photos")
    return np.stack(squares)
