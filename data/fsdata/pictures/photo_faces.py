"""The faces of photos, cut out of the files as they lie on the disk; each file is read and decoded once."""

from __future__ import annotations

import collections
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsdata.pictures.cutting import FaceCrop, MissingCrop, cut, photo_hash
from fsdata.results.source import local_file, source_path
from fsengine.errors import InvalidInputError
from fsengine.files.regular_file import open_regular
from fsengine.photo.convert import read_pixels
from fsengine.photo.gate import too_many_bytes

COLUMNS = ("source", "content_hash", "width", "height", "face_index", "x0", "y0", "x1", "y1")
"""Of faces, that cutting them out takes."""

GONE = "the photo is gone"
ELSEWHERE = "the photo lies in a store, a shard or a table, and pictures are cut out of files on a disk"
CHANGED = "the photo has changed since"
UNREADABLE = "the photo cannot be read"

_AT_ONCE = min(4, os.cpu_count() or 1)
Face = Mapping[str, Any]


def cut_faces(faces: Iterable[Face]) -> Iterator[FaceCrop | MissingCrop]:
    """Cut faces out, a few photos at a time.

    Args:
        faces: Rows with `COLUMNS`, those of a photo one after the other.

    Yields:
        The crop of each face, or why there is none, in their order.
    """
    photos = (list(rows) for _, rows in itertools.groupby(faces, key=lambda face: face["source"]))
    waiting: collections.deque[Future[list[FaceCrop | MissingCrop]]] = collections.deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for photo in photos:
                waiting.append(pool.submit(faces_of_photo, photo))
                if len(waiting) > _AT_ONCE:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def faces_of_photo(faces: list[Face]) -> list[FaceCrop | MissingCrop]:
    """Cut the faces of one photo out; see `cut_faces`."""
    source = faces[0]["source"]
    pixels = read_photo(faces[0])
    if isinstance(pixels, str):
        return [MissingCrop(source=source, face_index=face["face_index"], reason=pixels) for face in faces]
    found: list[FaceCrop | MissingCrop] = []
    looks = photo_hash(pixels)
    for face in faces:
        image, transform = cut(pixels, np.array([face["x0"], face["y0"], face["x1"], face["y1"]]))
        found.append(
            FaceCrop(
                source=source,
                content_hash=face["content_hash"],
                face_index=face["face_index"],
                photo_hash=looks,
                image=image,
                transform=transform,
            )
        )
    return found


def read_photo(face: Face) -> NDArray[np.uint8] | str:
    """Return the upright pixels of the photo of a face, uint8 (H, W, 3), or why there are none."""
    path = source_path(face["source"])
    if local_file(face["source"]) != path:
        return ELSEWHERE
    try:
        with open_regular(path) as file:
            if too_many_bytes(os.fstat(file.fileno()).st_size) is not None:
                return CHANGED
            data = file.read()
    except FileNotFoundError:
        return GONE
    except (OSError, ValueError):
        return UNREADABLE
    # What lies there now may be anybody's: it is shown only where it is the photo that was scored.
    if hashlib.sha256(data).hexdigest() != face["content_hash"]:
        return CHANGED
    try:
        pixels = read_pixels(data)
    except InvalidInputError:
        return UNREADABLE
    return pixels if pixels.shape[:2] == (face["height"], face["width"]) else CHANGED


def rows_of(faces: pa.Table | pa.RecordBatch) -> Iterator[Face]:
    """Yield the rows of a table of faces with `COLUMNS`."""
    batches = faces.to_batches(1024) if isinstance(faces, pa.Table) else [faces]
    for batch in batches:
        yield from batch.select(list(COLUMNS)).to_pylist()
