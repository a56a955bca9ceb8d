"""Parts: Parquet files, each whole or not there, with a row per photo.

A part is written to a temporary path, synced and renamed. Parts are numbered: of two, the one with the higher number
is later.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fsdata.results.rows import PhotoRow, rows_table
from fsdata.results.schema import COLUMNS, FACE_COLUMNS, FACES, LATER_COLUMNS, PHOTO_FIELDS, read_info
from fsengine.errors import InvalidInputError, ResultsError, StoreError
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

_BRING_BACK = "bring back a copy of it, or move it away and run again"


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
    return [cast(Place, path) for _, path in sorted(found, key=lambda one: (one[0], one[1].name))]


def is_part_name(name: str) -> bool:
    """Return whether a file of this name is a part."""
    return _PART_NAME.fullmatch(name) is not None


@contextmanager
def locked(folder: AnyPath) -> Iterator[None]:
    """Hold a folder of results, made if it is not there, so that two runs never write into it at once.

    A folder in a store is not held: its parts are only ever added, each under a number that nobody had, so that two
    runs at once do some photos twice at worst.

    Raises:
        InvalidInputError: It cannot be made or written to.
        ResultsError: Another run holds it.
    """
    if isinstance(folder, StorePath):
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


class PartFile:
    """A part that is open, read row group by row group.

    Attributes:
        path: Its path.
        schema: Its schema, with the columns that it is too old to have, which read as null.
        info: What it was made with.
        num_rows: Its rows.
        group_sizes: Rows of each of its row groups.
    """

    def __init__(self, path: AnyPath, file: pq.ParquetFile) -> None:
        """Read what the part says of itself; `open_part` opens one."""
        self.path = path
        self.schema: pa.Schema = _with_later_columns(file.schema_arrow)
        self._absent = LATER_COLUMNS - set(file.schema_arrow.names)
        self.info = read_info(self.schema, str(path))
        self.num_rows: int = file.metadata.num_rows
        self.group_sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._file = file
        if missing := [name for name in COLUMNS if name not in self.schema.names]:
            raise ResultsError(f"{path} lacks the columns {', '.join(missing)}; {_BRING_BACK}")
        for field in PHOTO_FIELDS:
            if (found := self.schema.field(field.name).type) != field.type:
                raise ResultsError(f"{path} holds {field.name} as {found}, expected {field.type}; {_BRING_BACK}")
        faces = self.schema.field(FACES).type
        if not pa.types.is_list(faces) or not pa.types.is_struct(faces.value_type):
            raise ResultsError(f"{path} holds faces of type {faces}, expected a list of structs; {_BRING_BACK}")
        if lists := [field.name for field in faces.value_type if _holds_lists(field.type)]:
            raise ResultsError(f"{path} holds no lists of a fixed size in {', '.join(lists)}; {_BRING_BACK}")

    def group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one row group.

        Args:
            number: Of the row group, from 0.
            columns: Paths of columns in the file, for example `source` or `faces.list.element.box`; None for all.

        Raises:
            ResultsError: It is damaged.
        """
        stored = columns if columns is None else [name for name in columns if name not in self._absent]
        with _readable(self.path):
            table = self._file.read_row_group(number, columns=stored, use_threads=False)
            table.validate(full=True)
        named = self.schema.names if stored is None else [name for name in stored if "." not in name]
        if lost := set(named) - self._absent - set(table.column_names):
            raise ResultsError(f"{self.path} has lost its columns {', '.join(sorted(lost))}; {_BRING_BACK}")
        for name in self._absent if columns is None else self._absent & set(columns):
            field = self.schema.field(name)
            table = table.append_column(field, pa.nulls(self.group_sizes[number], field.type))
        return table if columns is not None or not self._absent else table.select(self.schema.names)

    def groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Read every row group in order; see `group`."""
        for number in range(len(self.group_sizes)):
            yield self.group(number, columns)


def _holds_lists(dtype: pa.DataType) -> bool:
    """Return whether a type is a list of any length, or has one inside."""
    while pa.types.is_fixed_size_list(dtype):
        dtype = dtype.value_type
    return bool(pa.types.is_list(dtype))


def _with_later_columns(schema: pa.Schema) -> pa.Schema:
    """Return a part's schema with the columns that it is too old to have, each in its place."""
    for place, field in enumerate(PHOTO_FIELDS):
        if field.name in LATER_COLUMNS - set(schema.names):
            schema = schema.insert(min(place, len(schema)), field)
    return schema


@contextmanager
def open_part(path: AnyPath) -> Iterator[PartFile]:
    """Open a part.

    Raises:
        ResultsError: It is not a readable Parquet file, or one that is no part.
    """
    with ExitStack() as stack:
        with _readable(path):
            source: Path | BinaryIO
            if isinstance(path, StorePath):
                source = stack.enter_context(path.open_bytes())
            else:
                # pyarrow opens no path that is not UTF-8, and is slower with a handle.
                plain = os.fsencode(path).decode("utf-8", "replace") == str(path)
                source = path if plain else stack.enter_context(path.open("rb"))
            file = stack.enter_context(pq.ParquetFile(source, page_checksum_verification=True))
        yield PartFile(path, file)


def count_faces(path: AnyPath) -> int:
    """Return the faces of a part.

    Raises:
        ResultsError: It cannot be read.
    """
    with open_part(path) as part:
        # The smallest column that has a value per face.
        score = f"{FACES}.list.element.{FACE_COLUMNS['face_score']}"
        return sum(int(pc.sum(pc.list_value_length(table[FACES])).as_py() or 0) for table in part.groups([score]))


def unreadable(path: AnyPath, error: Exception, help_text: str) -> ResultsError:
    """Return the error for a Parquet file of which pyarrow, in several lines at times, says that it is damaged."""
    return ResultsError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())}; {help_text}")


@contextmanager
def _readable(path: AnyPath) -> Iterator[None]:
    """Turn what pyarrow says of a damaged file into a `ResultsError`."""
    try:
        yield
    except StoreError as exc:
        raise ResultsError(str(exc)) from exc
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise unreadable(path, exc, _BRING_BACK) from exc


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
