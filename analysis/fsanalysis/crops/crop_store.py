"""Crops kept beside the results: `DIR/_crops/crops-*.parquet`, made by `fsclient crops`.

A row is found by source, content hash and face index, so that a crop of a photo that was scored anew is never shown
for it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fsdata.pictures.cutting import FaceCrop, from_jpeg, to_jpeg
from fsdata.results.part_reading import unreadable
from fsdata.results.parts import results_file
from fsdata.selection.kept_crops import CROPS_FOLDER, PHOTO_HASH, crop_files
from fsengine.errors import ResultsError

ROW_GROUP_ROWS = 256
"""About 2 MB: what one thumbnail reads at most, and what a batch of them shares."""

_KEYS = ("source", "content_hash", "face_index")
_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("face_index", pa.int32(), nullable=False),
        pa.field(PHOTO_HASH, pa.uint64(), nullable=False),
        pa.field("transform", pa.list_(pa.field("element", pa.float64(), nullable=False), 6), nullable=False),
        pa.field("jpeg", pa.binary(), nullable=False),
    ]
)
_GROUPS_HELD = 32


class CropStore:
    """The crops that lie beside a folder of results."""

    def __init__(self, results_folder: Path) -> None:
        """Read which crops there are.

        Args:
            results_folder: Of the results; without crops the store is empty.

        Raises:
            ResultsError: A file of crops is damaged.
        """
        self._paths = crop_files(results_folder)
        keys: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        places: list[NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
        for number, path in enumerate(self._paths):
            with _readable(path), pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(_SCHEMA):
                    raise ResultsError(f"{path} is no file of crops of this version; remove {path.parent}")
                for group in range(file.num_row_groups):
                    found = _keys_of(file.read_row_group(group, columns=list(_KEYS)))
                    rows = np.arange(len(found))
                    keys.append(found)
                    places.append(np.stack([np.full_like(rows, number), np.full_like(rows, group), rows], axis=1))
        every = np.concatenate(keys)
        self._order = np.argsort(every, kind="stable")
        self._keys = every[self._order]
        self._places = np.concatenate(places)
        self._group = functools.lru_cache(_GROUPS_HELD)(self._read_group)

    def __len__(self) -> int:
        return len(self._keys)

    def holds(self, source: str, content_hash: str, face_index: int) -> bool:
        """Return whether there is a crop of a face."""
        return self._place(source, content_hash, face_index) is not None

    def jpeg(self, source: str, content_hash: str, face_index: int) -> bytes | None:
        """Return the crop of a face as JPEG, None where there is none."""
        place = self._place(source, content_hash, face_index)
        return None if place is None else self._group(place[0], place[1])["jpeg"][place[2]].as_py()

    def read(self, source: str, content_hash: str, face_index: int) -> FaceCrop | None:
        """Return the crop of a face, None where there is none.

        Raises:
            ResultsError: The file that holds it is damaged.
        """
        place = self._place(source, content_hash, face_index)
        if place is None:
            return None
        group = self._group(place[0], place[1])
        return FaceCrop(
            source=source,
            content_hash=content_hash,
            face_index=face_index,
            photo_hash=group[PHOTO_HASH][place[2]].as_py(),
            image=from_jpeg(group["jpeg"][place[2]].as_py()),
            transform=np.array(group["transform"][place[2]].as_py()).reshape(2, 3),
        )

    def _place(self, source: str, content_hash: str, face_index: int) -> tuple[int, int, int] | None:
        """Return file, row group and row of a crop."""
        key = _key(source, content_hash, face_index)
        found = int(np.searchsorted(self._keys, key))
        if found == len(self._keys) or self._keys[found] != key:
            return None
        file, group, row = (int(value) for value in self._places[self._order[found]])
        return file, group, row

    def _read_group(self, file: int, group: int) -> pa.Table:
        path = self._paths[file]
        with _readable(path), pq.ParquetFile(path, page_checksum_verification=True) as opened:
            return opened.read_row_group(group, columns=[PHOTO_HASH, "transform", "jpeg"])


class CropWriter:
    """Writes crops into one new file of a folder of results, whole or not at all."""

    def __init__(self, results_folder: Path) -> None:
        """Choose the name; nothing is written before `close`.

        Args:
            results_folder: Of the results.
        """
        paths = crop_files(results_folder)
        number = 1 + max((int(path.stem.partition("-")[2]) for path in paths), default=0)
        self.path = results_folder / CROPS_FOLDER / f"crops-{number:06d}.parquet"
        self._rows: list[dict[str, object]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, crop: FaceCrop) -> None:
        """Take a crop."""
        self._rows.append(
            {
                "source": crop.source,
                "content_hash": crop.content_hash,
                "face_index": crop.face_index,
                PHOTO_HASH: crop.photo_hash,
                "transform": crop.transform.ravel().tolist(),
                "jpeg": to_jpeg(crop.image),
            }
        )

    def close(self) -> None:
        """Write what was taken.

        Raises:
            ResultsError: It cannot be written.
        """
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=_SCHEMA)
        with results_file(self.path) as file:
            # JPEG does not get smaller.
            pq.write_table(
                table,
                file,
                row_group_size=ROW_GROUP_ROWS,
                compression="none",
                write_page_checksum=True,
                use_dictionary=["source", "content_hash"],
            )
        self._rows = []


def _keys_of(table: pa.Table) -> NDArray[np.uint64]:
    columns = (table[name].to_pylist() for name in _KEYS)
    return np.array([_key(*row) for row in zip(*columns, strict=True)], np.uint64)


def _key(source: str, content_hash: str, face_index: int) -> np.uint64:
    """Return 64 bits: two of a million crops meet once in 37 million tries."""
    text = f"{source}\0{content_hash}\0{face_index}".encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what pyarrow says of a damaged file into a `ResultsError`."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise unreadable(path, exc, f"remove {path}, and run `fsclient crops` again") from exc
