"""Where crops of faces lie beside results, and the perceptual hashes of their photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.part_reading import unreadable
from fsengine.errors import ResultsError

CROPS_FOLDER = "_crops"
"""Below a folder of results; readers of a whole folder leave names with an underscore out."""

PHOTO_HASH = "photo_hash"
"""Column of crops: 64 bits of their photo, of which few differ between pictures that look the same."""


def crop_files(results_folder: Path) -> list[Path]:
    """Return the files of crops of a folder of results, oldest first."""
    found = (results_folder / CROPS_FOLDER).glob("crops-[0-9]*.parquet")
    return sorted(path for path in found if path.stem.partition("-")[2].isdecimal())  # no `crops-000001 (copy)`


def photo_hashes(results_folder: Path) -> pa.Table:
    """Return the hashes of the photos of which crops are kept.

    Returns:
        `source`, `content_hash` and `photo_hash` (uint64), a row for each crop.

    Raises:
        ResultsError: A file of crops is damaged, or of an older version.
    """
    columns = ["source", "content_hash", PHOTO_HASH]
    schema = pa.schema([("source", pa.string()), ("content_hash", pa.string()), (PHOTO_HASH, pa.uint64())])
    tables = [schema.empty_table()]
    for path in crop_files(results_folder):
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                if PHOTO_HASH not in file.schema_arrow.names:
                    raise ResultsError(f"{path} is no file of crops of this version; remove {path.parent}")
                tables.append(file.read(columns).cast(schema))
        except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError, ValueError) as exc:
            raise unreadable(path, exc, f"remove {path}, and run `fsclient crops` again") from exc
    return pa.concat_tables(tables)


def bits_apart(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Return in how many bits hashes differ, uint64 arrays that broadcast, as uint8."""
    different = np.bitwise_xor(hashes, others)
    halves = np.ascontiguousarray(different)[..., None].view(np.uint16)
    counted: np.ndarray = _BITS[halves].sum(axis=-1, dtype=np.uint8)  # type: ignore[type-arg]
    return counted


_BITS = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)
