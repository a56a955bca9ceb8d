"""Parts as they are read: row group by row group, checked, with the columns that older ones lack."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fsdata.results.schema import COLUMNS, FACE_COLUMNS, FACES, LATER_COLUMNS, PHOTO_FIELDS, read_info
from fsengine.errors import ResultsError, StoreError
from fsengine.files.stores.store_path import AnyPath, StorePath

_BRING_BACK = "bring back a copy of it, or move it away and run again"


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


def part_state(path: AnyPath) -> tuple[int, int]:
    """Return the size of a part in bytes, and the time of its last change in nanoseconds since 1970.

    Raises:
        ResultsError: It is gone, or its store cannot be had.
    """
    try:
        info = path.stat()
    except FileNotFoundError as exc:
        raise changed_meanwhile(path) from exc
    except (OSError, StoreError) as exc:
        raise ResultsError(str(exc)) from exc
    return info.st_size, info.st_mtime_ns


def changed_meanwhile(path: AnyPath) -> ResultsError:
    """Return the error for a part, or a folder of parts, that is not what it was when reading began."""
    return ResultsError(f"{path} was changed while it was read; run again")


def unreadable(path: AnyPath, error: Exception, help_text: str) -> ResultsError:
    """Return the error for a Parquet file of which pyarrow, in several lines at times, says that it is damaged."""
    return ResultsError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())}; {help_text}")


@contextmanager
def _readable(path: AnyPath) -> Iterator[None]:
    """Turn what pyarrow says of a damaged file into a `ResultsError`."""
    try:
        yield
    except FileNotFoundError as exc:
        raise changed_meanwhile(path) from exc
    except StoreError as exc:
        raise ResultsError(str(exc)) from exc
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise unreadable(path, exc, _BRING_BACK) from exc
