"""The same photos in a folder, in a store and in shards there; and results, read as they lie, wherever that is."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from encoded_photos import encoded
from fault_scenarios import Source

if TYPE_CHECKING:
    from s3_server import S3Server

NUM_PHOTOS = 24
NUM_SHARDS = 3
SIDE_PX = 160
TMPFS_BYTES = 4 << 20
FILL_BYTES = 64 << 10
LOCK = ".facestats.lock"
NOT_COMPARED = {"source", "mtime_ns", "etag", "attempts", "read_ms", "infer_ms", "faces"}
"""What the place of a photo decides, and what no two runs have in common; faces are compared on their own."""

Rows = dict[str, dict[str, Any]]
"""Of photos, by name."""


def few_photos(samples: Path) -> dict[str, bytes]:
    """Return small photos: most with a face, some with none, a crowd in small, and one that is damaged."""
    made = {}
    names = ("hopper.jpg", "obama.jpg", "coffee.jpg", "astronaut.jpg", "gauss.jpg", "horse.png")
    for number in range(NUM_PHOTOS - 1):
        name = names[number % len(names)]
        with Image.open(samples / name) as photo:
            small = photo.convert("RGB").resize((SIDE_PX + number, SIDE_PX + 2 * number))
        made[f"{number:02d}-{Path(name).stem}.jpg"] = encoded("JPEG", small, quality=90)
    made[f"{NUM_PHOTOS - 1:02d}-damaged.jpg"] = made["00-hopper.jpg"][:200]
    return made


class Photos:
    """Photos in each of the places that a scenario names."""

    def __init__(self, photos: Mapping[str, bytes], folder: Path, store: S3Server) -> None:
        """Put them there.

        Args:
            photos: By name.
            folder: Theirs; it is made.
            store: It gets the prefix `photos/` and shards in `shards/`.
        """
        self.photos = photos
        self.folder = folder
        self._bucket = f"s3://{store.bucket}"
        folder.mkdir()
        for name, data in photos.items():
            (folder / name).write_bytes(data)
            store.put(f"photos/{name}", data)
        for number in range(NUM_SHARDS):
            store.put(f"shards/p-{number}.tar", self._shard(number))

    def argument(self, source: Source) -> str:
        """Return what names them all for `fsclient ingest`."""
        places = {Source.PREFIX: f"{self._bucket}/photos/", Source.SHARDS: f"{self._bucket}/shards/p-{{0..2}}.tar"}
        return places.get(source, str(self.folder))

    def sources(self, source: Source) -> dict[str, str]:
        """Return their names in results, by name."""
        if source is Source.SHARDS:
            return {name: f"{self._bucket}/shards/p-{self._shard_of(name)}.tar!{name}" for name in self.photos}
        place = f"{self._bucket}/photos" if source is Source.PREFIX else str(self.folder)
        return {name: f"{place}/{name}" for name in self.photos}

    def _shard_of(self, name: str) -> int:
        return int(name[:2]) % NUM_SHARDS

    def _shard(self, number: int) -> bytes:
        stored = io.BytesIO()
        with tarfile.open(fileobj=stored, mode="w") as tar:
            for name, data in self.photos.items():
                if self._shard_of(name) == number:
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        return stored.getvalue()


def folder_parts(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder of results, by their path in it, but for its lock."""
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != LOCK}


def store_parts(store: S3Server, prefix: str) -> dict[str, bytes]:
    """Return the objects below a prefix, by their key below it."""
    return {key.removeprefix(prefix): store.get(key) for key in store.keys(prefix)}


def latest_rows(parts: Mapping[str, bytes], sources: Mapping[str, str]) -> Rows:
    """Return the latest row of each photo, by its name.

    Args:
        parts: Files of results, by name; there shall be none but parts.
        sources: What photos are called in results, by name; there shall be rows of no others.
    """
    strangers = [name for name in parts if not re.fullmatch(r"part-\d{6,}\.parquet", name)]
    assert not strangers, f"files that are no parts: {strangers}"
    names = {source: name for name, source in sources.items()}
    return {names[row["source"]]: row for name in sorted(parts) for row in _rows(parts[name])}


def _rows(part: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(part)).to_pylist()
    return rows


def assert_same_rows(found: Rows, expected: Rows) -> None:
    """Check that each photo has the row that an undisturbed run gave it."""
    assert sorted(found) == sorted(expected)
    for name, row in found.items():
        same = expected[name]
        assert _compared(row) == _compared(same), name
        assert len(row["faces"]) == len(same["faces"]), name
        for face, other in zip(row["faces"], same["faces"], strict=True):
            assert face.keys() == other.keys()
            for field, value in face.items():
                # Crops of another batch, and so other kernels, may round otherwise.
                np.testing.assert_allclose(value, other[field], rtol=1e-3, atol=1e-3, err_msg=f"{name}: {field}")


def _compared(row: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in row.items() if field not in NOT_COMPARED}


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small tmpfs on a folder, where this user may; else it stays as it is. Give whether it is mounted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write into a file until its disk is full."""
    with file.open("ab", buffering=0) as stream:
        size = FILL_BYTES
        while size:
            try:
                stream.write(bytes(size))
            except OSError:
                size //= 2
