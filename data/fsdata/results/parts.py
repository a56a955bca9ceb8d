"""Parts: Parquet files that exist whole or not at all, and the ledger that they make.

A part is written beside its name, synced and renamed. Resuming reads what the parts say and needs no other
state; where two parts hold the same source, the one with the higher number is later and wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.rows import PhotoRow, rows_table
from fsdata.results.schema import PartInfo, read_info
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError, ResultsError
from fsengine.files.atomic import atomic_file, remove_temporary_files
from fsengine.files.lock import file_lock

_PART_NAME = re.compile(r"part-(\d{6,})\.parquet")
_LOCK_NAME = ".facestats.lock"

ROW_GROUP_SIZE = 1024
WRITE_OPTIONS: Mapping[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["status", "reason", "model_set_id"],
    "write_statistics": ["source", "status"],
}
"""How every part is written."""


def part_paths(folder: Path) -> list[Path]:
    """Return the parts of a folder, oldest first."""
    found = [(int(m[1]), path) for path in folder.iterdir() if (m := _PART_NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder of results, made if it is not there, so that two runs never write into it at once.

    Raises:
        InvalidInputError: It cannot be made or written to.
        ResultsError: Another run holds it.
    """
    with file_lock(
        folder / _LOCK_NAME,
        busy=ResultsError(f"another fsclient is writing to {folder}; wait for it or choose another --out"),
        unwritable=lambda exc: InvalidInputError(
            f"{folder} cannot be written to: {exc.strerror}; choose another --out"
        ),
    ):
        remove_temporary_files(folder)
        yield


@contextmanager
def results_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file of results that appears whole or not at all; see `atomic_file`.

    Raises:
        ResultsError: The disk is full, or the folder is gone or not writable.
    """
    try:
        with atomic_file(path) as file:
            yield file
    except OSError as exc:
        raise ResultsError(
            f"{path} cannot be written: {exc.strerror}; make room or choose another folder, and run again"
        ) from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the parts of a folder say was done.

    Attributes:
        statuses: (source, bytes, mtime_ns) of each photo to its status.
        info: What the parts were made with; None without parts.
    """

    statuses: dict[tuple[str, int, int], Status]
    info: PartInfo | None


def read_ledger(folder: Path) -> Ledger:
    """Read the ledger of a folder.

    Raises:
        ResultsError: A part cannot be read, or parts of different model sets lie together.
    """
    statuses: dict[tuple[str, int, int], Status] = {}
    info: PartInfo | None = None
    for path in part_paths(folder):
        with open_part(path) as file:
            found = read_info(file.schema_arrow, str(path))
            if info is not None and found.models.model_set_id != info.models.model_set_id:
                raise ResultsError(
                    f"{path} was made with model set {found.models.model_set_id}, the parts before it with "
                    f"{info.models.model_set_id}; results of different sets do not mix: keep them in different folders"
                )
            info = found
            columns = file.read(["source", "bytes", "mtime_ns", "status"]).to_pydict()
        for source, size, mtime_ns, status in zip(*columns.values(), strict=True):
            statuses[source, size, mtime_ns] = Status(status)
    return Ledger(statuses=statuses, info=info)


@contextmanager
def open_part(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a part.

    Raises:
        ResultsError: It is not a readable Parquet file.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as exc:
        raise ResultsError(f"{path} cannot be read as Parquet: {exc}; move it away and run again") from exc
    with file:
        yield file


class PartWriter:
    """Writes parts of one model set into a folder."""

    def __init__(self, folder: Path, schema: pa.Schema, model_set_id: str) -> None:
        """Continue after the folder's last part.

        Args:
            folder: An existing folder, held by `locked`.
            schema: Of every part.
            model_set_id: What the rows were made with.
        """
        paths = part_paths(folder)
        self._folder = folder
        self._schema = schema
        self._model_set_id = model_set_id
        self._next = int(paths[-1].stem.split("-")[1]) + 1 if paths else 1

    def write(self, rows: Sequence[PhotoRow]) -> Path:
        """Write one part: beside its name, synced, renamed, and the folder synced.

        Raises:
            ResultsError: The disk is full or the folder is gone; the rows are in no part then.
        """
        path = self._folder / f"part-{self._next:06d}.parquet"
        table = rows_table(rows, self._schema, self._model_set_id)
        with results_file(path) as file:
            pq.write_table(table, file, row_group_size=ROW_GROUP_SIZE, **WRITE_OPTIONS)
        self._next += 1
        return path
