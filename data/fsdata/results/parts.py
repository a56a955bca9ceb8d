"""Parts: Parquet files, each whole or not there, with a row per photo.

A part is written to a temporary path, synced and renamed. Parts are numbered: of two, the one with the higher number
is later.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.rows import PhotoRow, rows_table
from fsengine.errors import InvalidInputError, ResultsError, StoreError, StoreUnavailableError
from fsengine.files.atomic import atomic_file, remove_temporary_files
from fsengine.files.lock import file_lock
from fsengine.files.stores.store_path import AnyPath, StorePath
from fsengine.files.writing_errors import unwritable

PARTS_PATTERN = "part-*.parquet"
"""Names of parts, for tools that take a pattern."""

Place = TypeVar("Place", bound=AnyPath)

_PART_NAME = re.compile(r"part-(\d{6,})\.parquet")
_LOCK_NAME = ".facestats.lock"

ROW_GROUP_SIZE = 1024
WRITE_OPTIONS: Mapping[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["status", "reason", "model_set_id"],
    "write_statistics": ["source", "status"],
    "write_page_checksum": True,
}
"""How every part is written; the checksums let damage be told from numbers."""


def part_paths(folder: Place) -> list[Place]:
    """Return the parts of a folder, oldest first.

    Raises:
        ResultsError: The folder cannot be read.
    """
    try:
        found = [(int(m[1]), path) for path in folder.iterdir() if (m := _PART_NAME.fullmatch(path.name))]
    except OSError as exc:
        raise ResultsError(
            f"{folder} cannot be read: {exc.strerror}; expected a folder of results that you may read"
        ) from exc
    except StoreError as exc:
        raise ResultsError(str(exc)) from exc
    return [cast("Place", path) for _, path in sorted(found, key=lambda one: (one[0], one[1].name))]


def is_part_name(name: str) -> bool:
    """Return whether a file of this name is a part."""
    return _PART_NAME.fullmatch(name) is not None


@contextmanager
def locked(folder: AnyPath) -> Iterator[None]:
    """Hold a folder of results, made if it is not there, so that two runs never write into it at once.

    A folder in a store is not held: its parts are only ever added, each under a number that nobody had, so that two
    runs at once do some photos twice at worst.

    Raises:
        InvalidInputError: It cannot be made or written to, or its bucket does not exist.
        ResultsError: Another run holds it.
        StoreUnavailableError: Its store cannot be had.
    """
    if isinstance(folder, StorePath):
        try:
            folder.is_dir()
        except StoreUnavailableError:
            raise
        except StoreError as exc:
            raise InvalidInputError(str(exc)) from exc
        yield
        return
    with file_lock(
        folder / _LOCK_NAME,
        busy=ResultsError(
            f"another fsclient is writing to {folder}; wait until it has ended, or choose another folder"
        ),
        unwritable=lambda exc: InvalidInputError(unwritable(folder, exc, "choose another folder")),
    ):
        remove_temporary_files(folder)
        yield


@contextmanager
def results_file(path: AnyPath) -> Iterator[BinaryIO]:
    """Open a file of results that appears whole or not at all; see `atomic_file`.

    Raises:
        ResultsError: The disk is full, or the folder is gone or not writable, or the store cannot be had.
    """
    try:
        with path.written() if isinstance(path, StorePath) else atomic_file(path) as file:
            yield file
    except OSError as exc:
        raise ResultsError(unwritable(path, exc, "choose another folder; run again then")) from exc
    except StoreError as exc:
        raise _not_written(path, exc) from exc


def _not_written(path: AnyPath, exc: StoreError) -> ResultsError:
    return ResultsError(f"{path} cannot be written: {exc}")


class PartNumbers:
    """The numbers of a folder's next parts, for all who write parts there; threads may share it."""

    def __init__(self, folder: AnyPath) -> None:
        """Continue after the folder's last part.

        Args:
            folder: An existing folder, held by `locked`.
        """
        paths = part_paths(folder)
        self._folder = folder
        self._next = int(paths[-1].stem.split("-")[1]) + 1 if paths else 1
        self._turn = threading.Lock()

    def path(self) -> AnyPath:
        """Return the path of the next part."""
        with self._turn:
            number = self._next
            self._next += 1
        return self._folder / f"part-{number:06d}.parquet"


class PartWriter:
    """Writes parts of one model set into a folder."""

    def __init__(self, numbers: PartNumbers, schema: pa.Schema, model_set_id: str) -> None:
        """Prepare.

        Args:
            numbers: Of the folder's parts.
            schema: Of every part.
            model_set_id: What the rows were made with.
        """
        self._numbers = numbers
        self._schema = schema
        self._model_set_id = model_set_id

    def write(self, rows: Sequence[PhotoRow]) -> AnyPath:
        """Write one part, whole or not at all: to a temporary path, synced, renamed, and the folder synced.

        Raises:
            ResultsError: The disk is full, the folder is gone or the store cannot be had; the rows are in no part then.
        """
        return self.write_table(self.table(rows))

    def table(self, rows: Sequence[PhotoRow]) -> pa.Table:
        """Return rows as a table of the parts' schema."""
        return rows_table(rows, self._schema, self._model_set_id)

    def write_table(self, table: pa.Table) -> AnyPath:
        """Write one part from rows that are a table of its schema already; see `write`."""
        path = self._numbers.path()
        if isinstance(path, StorePath):
            return self._created(path, table)
        with results_file(path) as file:
            pq.write_table(table, file, row_group_size=ROW_GROUP_SIZE, **WRITE_OPTIONS)
        return path

    def _created(self, path: AnyPath, table: pa.Table) -> AnyPath:
        """Write one part into a store, under the next number that no other run has taken."""
        buffer = BytesIO()
        pq.write_table(table, buffer, row_group_size=ROW_GROUP_SIZE, **WRITE_OPTIONS)
        while True:
            assert isinstance(path, StorePath)
            try:
                if path.create(buffer.getvalue()):
                    return path
            except StoreError as exc:
                raise _not_written(path, exc) from exc
            path = self._numbers.path()
