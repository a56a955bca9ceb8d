"""The master table of a folder of parts: a row per face, flat, and beside it a row per photo.

    DIR/_table/faces.parquet    a row per face
    DIR/_table/photos.parquet   a row per photo: status, reason, size, number of faces

DuckDB, Polars and pandas read both as they are. Where a photo was done more than once, its latest row counts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fsdata.results.digests import Digests, LastRows, source_digests
from fsdata.results.part_reading import part_state, unreadable
from fsdata.results.parts import Place, results_file
from fsdata.results.reading import Results, open_results
from fsdata.results.schema import METADATA_KEY, PartInfo
from fsdata.results.status import SCORED
from fsengine.errors import ResultsError, StoreError
from fsengine.files.stores.store_path import AnyPath, StorePath

TABLE_FILE = Path("_table") / "faces.parquet"
"""Below a folder of parts; readers of a whole folder (pyarrow, Spark) leave names with an underscore out."""
PHOTOS_FILE = TABLE_FILE.with_name("photos.parquet")

ROW_GROUP_SIZE = 32768
"""Large enough for engines that read row groups in parallel; 67 MB of 512-d embeddings, held several times over."""

_FIRST_FACES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterTable:
    """What a master table holds.

    Attributes:
        num_faces: Rows of the faces.
        schema: Of the faces.
        first_faces: The first of them, without lists of numbers.
    """

    num_faces: int
    schema: pa.Schema
    first_faces: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInfo:
    """What a folder of results holds.

    Attributes:
        folder: The folder.
        statuses: Photos by status, each photo counted once.
        num_copies: Scored photos whose bytes are those of another one, the first of each kind left out.
        num_parts: Parts.
        info: What the parts were made with.
        embeddings: Whether the faces have embeddings.
        table: The master table; None where it was not built from the parts as they are.
    """

    folder: AnyPath
    statuses: Counter[str]
    num_copies: int
    num_parts: int
    info: PartInfo
    embeddings: bool
    table: MasterTable | None


def build_table(folder: Place) -> Place:
    """Build the master table of a folder of parts, whole or not at all, and return the path of its faces.

    Raises:
        InvalidInputError: The folder holds no parts.
        ResultsError: A part cannot be read, parts of different model sets lie together, a refresh was interrupted, or
            the table cannot be written.
    """
    results = open_results(folder)
    faces, photos = results.face_schema(), _photo_schema(results)
    # Both are written before either gets its name.
    with results_file(folder / PHOTOS_FILE) as photos_file, results_file(folder / TABLE_FILE) as faces_file:
        with _writer(photos_file, photos) as writer:
            for batch in results.scan_photos(batch_rows=ROW_GROUP_SIZE):
                writer.write_batch(batch, ROW_GROUP_SIZE)
        with _writer(faces_file, faces) as writer:
            for batch in results.scan(batch_rows=ROW_GROUP_SIZE):
                writer.write_batch(batch, ROW_GROUP_SIZE)
    return cast("Place", folder / TABLE_FILE)


def drop_table(folder: Path) -> bool:
    """Remove the master table, and return whether there was one: what it holds is to be nowhere any more."""
    found = [folder / name for name in (TABLE_FILE, PHOTOS_FILE) if (folder / name).exists()]
    for path in found:
        path.unlink(missing_ok=True)
    return bool(found)


def describe(folder: AnyPath) -> TableInfo:
    """Describe a folder of results; see `TableInfo`.

    Raises:
        InvalidInputError: The folder holds no parts.
        ResultsError: A part or the master table cannot be read, parts of different model sets lie together, or a
            refresh was interrupted.
    """
    results = open_results(folder)
    statuses: Counter[str] = Counter()
    digests: list[Digests] = []
    scored = pa.array([status.value for status in SCORED])
    for batch in results.scan_photos(["status", "content_hash"]):
        for count in pc.value_counts(batch["status"]):
            statuses[count["values"].as_py()] += count["counts"].as_py()
        digests.append(source_digests(batch["content_hash"].filter(pc.is_in(batch["status"], scored)).drop_null()))
    contents = LastRows(digests)
    return TableInfo(
        folder=folder,
        statuses=statuses,
        num_copies=contents.num_rows - len(contents),
        num_parts=len(results.paths),
        info=results.info,
        embeddings=results.has_embeddings,
        table=_read_table(results),
    )


def _read_table(results: Results) -> MasterTable | None:
    """Return the master table of a folder of results; None where it was not built from the parts as they are."""
    photos, faces = results.folder / PHOTOS_FILE, results.folder / TABLE_FILE
    if not photos.exists() or not faces.exists():
        return None
    with _readable(photos, results.folder), _opened(photos) as file:
        made_of = (file.schema_arrow.metadata or {}).get(_PARTS_KEY)
    if made_of != _parts_digest(results):
        return None
    with _readable(faces, results.folder), _opened(faces) as file:
        plain = [field.name for field in file.schema_arrow if not pa.types.is_fixed_size_list(field.type)]
        first = next(file.iter_batches(_FIRST_FACES, columns=plain, use_threads=False), None)
        return MasterTable(
            num_faces=file.metadata.num_rows,
            schema=file.schema_arrow,
            first_faces=[] if first is None else first.to_pylist(),
        )


_PARTS_KEY = b"facestats_parts"
"""In the metadata of the photos: which parts the table was made from."""


def _photo_schema(results: Results) -> pa.Schema:
    """Return the schema of the row per photo; its metadata says what flat faces say of their models, and the parts."""
    schema = results.photo_schema()
    served = json.loads(schema.metadata[METADATA_KEY])["served"]
    return schema.with_metadata({METADATA_KEY: json.dumps({"served": served}), _PARTS_KEY: _parts_digest(results)})


def _parts_digest(results: Results) -> bytes:
    """Return what changes when a part is added, removed or replaced, as text."""
    digest = hashlib.sha256()
    for path in results.paths:
        num_bytes, mtime_ns = part_state(path)
        digest.update(f"{path.name} {num_bytes} {mtime_ns}\n".encode())
    return digest.hexdigest().encode()


@contextmanager
def _opened(path: AnyPath) -> Iterator[pq.ParquetFile]:
    with ExitStack() as stack:
        source = stack.enter_context(path.open_bytes()) if isinstance(path, StorePath) else path
        yield stack.enter_context(pq.ParquetFile(source, page_checksum_verification=True))


@contextmanager
def _readable(path: AnyPath, folder: AnyPath) -> Iterator[None]:
    """Turn what pyarrow says of a damaged table into a `ResultsError`."""
    try:
        yield
    except StoreError as exc:
        raise ResultsError(str(exc)) from exc
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise unreadable(path, exc, f"run `fsclient table build {folder}` again") from exc


def _writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    """Return a writer without dictionary or statistics on number lists, where they cost and help nobody."""
    plain = [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]
    strings = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=strings,
        write_statistics=plain,
        write_page_checksum=True,
    )
