"""Crops of faces as JPEG files that other programs read, with a list of which face each shows."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.part_reading import unreadable
from fsdata.results.reading import Results
from fsdata.selection.kept_crops import crop_files
from fsdata.selection.selected_faces import select_faces
from fsengine.errors import InvalidInputError
from fsengine.files.atomic import atomic_folder

INDEX = "index.csv"

_KEYS = ("source", "content_hash", "face_index")
_FILES_A_FOLDER = 10_000
_BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class ExportedCrops:
    """What was written.

    Attributes:
        num_written: Crops.
        num_missing: Faces that were selected and of which no crop is kept.
    """

    num_written: int
    num_missing: int


def export_crops(
    results: Results, folder: Path, *, where: str | None = None, on_faces: Callable[[int], object] | None = None
) -> ExportedCrops:
    """Write the kept crops of the faces that an expression selects.

    A face's file is named by its number among those selected, in the order of sources: `0000/00000012.jpg`, ten
    thousand in a folder; `index.csv` says which face of which photo it is. No name comes from a photo's path.

    Args:
        results: Whose faces.
        folder: Made; it must not be there, or be empty. It is there whole, or not at all.
        where: See `scan_selected`; None for all.
        on_faces: Called with the number of crops after each batch of them.

    Raises:
        InvalidInputError: `where` is no expression, no crop of the faces is kept, or the folder holds something.
        ResultsError: A file of crops is damaged.
        OSError: It cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInputError(f"{folder} is there already and not an empty folder; choose another --out")
    faces = select_faces(results, where, list(_KEYS)).to_pydict()
    numbers = {key: number for number, key in enumerate(zip(*(faces[name] for name in _KEYS), strict=True))}
    written: set[int] = set()
    with atomic_folder(folder, ".crops-") as temporary:
        for path in crop_files(results.on_disk):
            try:
                with pq.ParquetFile(path, page_checksum_verification=True) as file:
                    for batch in file.iter_batches(_BATCH_ROWS, columns=[*_KEYS, "jpeg"]):
                        new = _write_batch(temporary, batch, numbers, written)
                        if on_faces is not None and new:
                            on_faces(new)
            except (pa.ArrowException, UnicodeDecodeError, KeyError) as exc:
                raise unreadable(path, exc, f"remove {path}, and run `fsclient crops` again") from exc
        if not written:
            raise InvalidInputError(
                f"of {len(numbers)} faces no crop is kept; run `fsclient crops {results.folder}` first"
                if numbers
                else "no face is selected"
            )
        with (temporary / INDEX).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", *_KEYS])
            writer.writerows([_name(number), *key] for key, number in numbers.items() if number in written)
    return ExportedCrops(num_written=len(written), num_missing=len(numbers) - len(written))


def _write_batch(folder: Path, batch: pa.RecordBatch, numbers: dict[tuple[object, ...], int], written: set[int]) -> int:
    new = 0
    for *key, jpeg in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        number = numbers.get(tuple(key))
        if number is None or number in written:
            continue
        path = folder / _name(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg)
        written.add(number)
        new += 1
    return new


def _name(number: int) -> str:
    return f"{number // _FILES_A_FOLDER:04d}/{number:08d}.jpg"
