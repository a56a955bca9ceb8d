"""What earlier runs hold of photos that were touched since, or are gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from fsclient.ingest.settings import IngestConfig
from fsclient.photos.file_state import file_state
from fsdata.results.digests import LastRows, source_digests
from fsdata.results.latest import LatestPhotos, last_rows
from fsdata.results.parts import PartWriter, part_paths
from fsdata.results.source import source_path, source_text
from fsdata.results.status import Status
from fsengine.files.hashing import file_sha256

_PATHS_AT_A_TIME = 65536


def known_photos(out: Path, paths: Iterable[bytes]) -> list[bytes]:
    """Return those photos of which a folder of results has a row, in whatever state their files were.

    Raises:
        ResultsError: A part cannot be read.
    """
    parts = part_paths(out)
    if not parts:
        return []
    rows = last_rows(parts)
    known = []
    for batch in _batched(paths):
        found = rows.find(source_digests([source_text(path) for path in batch])) >= 0
        known += [path for path, is_known in zip(batch, found, strict=True) if is_known]
    return known


def keep_rows_of_touched(config: IngestConfig, paths: Iterable[bytes], stopped: Callable[[], bool]) -> int:
    """Write the rows of photos again whose files have another time of change and the same content.

    They are the stored rows with the new time. A photo that could not be read, that the server refused, or
    whose status is to be done again is left to be scored.

    Args:
        config: The run; its folder is held by `fsdata.results.parts.locked`.
        paths: Of photos that the folder has a row of, in another state of their files.
        stopped: Returns whether no more files are to be read; what was found until then is written.

    Returns:
        The number of rows written.

    Raises:
        ResultsError: A part cannot be read or written.
    """
    again = {Status.FAILED, *config.retry_statuses}
    latest = LatestPhotos(part_paths(config.out))
    held: list[pa.Table] = []
    num_kept = 0

    def write() -> None:
        nonlocal num_kept
        if held:
            table = pa.concat_tables(held)
            PartWriter(config.out, table.schema, table["model_set_id"][0].as_py()).write_table(table)
            num_kept += table.num_rows
            held.clear()

    for batch in _batched(paths):
        sources = pa.array([source_text(path) for path in batch], pa.string())
        for _, photos in latest.tables(sources=sources):
            table = _touched(photos, again, stopped)
            if held and not held[0].schema.equals(table.schema, check_metadata=True):
                write()
            if table.num_rows:
                held.append(table)
            if sum(len(one) for one in held) >= config.part_size:
                write()
    write()
    return num_kept


def count_gone(config: IngestConfig, paths: Iterable[bytes]) -> int:
    """Return the number of photos of the results that lay in a folder of the sources and are gone.

    Args:
        config: The run.
        paths: Of the photos that were found.

    Raises:
        ResultsError: A part cannot be read.
    """
    folders = [os.path.abspath(os.fsencode(source)) for source in config.sources if os.path.isdir(source)]
    parts = part_paths(config.out)
    if not folders or not parts:
        return 0
    there = LastRows([source_digests([source_text(path) for path in batch]) for batch in _batched(paths)])
    # A photo's text is a URI where its name is not UTF-8, that of its folder need not be one.
    prefixes = [os.path.join(folder, b"") for folder in folders]
    num_gone = 0
    for _, photos in LatestPhotos(parts).tables(["source"]):
        held = [source for source in photos["source"].to_pylist() if source_path(source).startswith(tuple(prefixes))]
        missing = there.find(source_digests(held)) < 0
        num_gone += sum(
            not os.path.lexists(source_path(source))
            for source, is_missing in zip(held, missing, strict=True)
            if is_missing
        )
    return num_gone


def _touched(photos: pa.Table, again: Collection[Status], stopped: Callable[[], bool]) -> pa.Table:
    """Return the rows of files that changed nothing but their time, with their new time."""
    keep, times = [], []
    columns = (photos[name].to_pylist() for name in ("source", "bytes", "mtime_ns", "content_hash", "status"))
    for source, num_bytes, mtime_ns, content_hash, status in zip(*columns, strict=True):
        time = None
        if content_hash is not None and Status(status) not in again and not stopped():
            time = _new_time(source_path(source), num_bytes, content_hash)
        keep.append(time is not None and time != mtime_ns)
        if keep[-1]:
            times.append(time)
    kept = photos.filter(pa.array(keep, pa.bool_()))
    at = kept.schema.get_field_index("mtime_ns")
    return kept.set_column(at, kept.schema.field(at), pa.array(times, pa.int64())).combine_chunks()


def _new_time(path: bytes, num_bytes: int, content_hash: str) -> int | None:
    """Return the time of change of a file in nanoseconds since 1970, where its content is still the same."""
    try:
        info = os.stat(path)
        size, mtime_ns = file_state(info)
        same = stat.S_ISREG(info.st_mode) and size == num_bytes and file_sha256(Path(os.fsdecode(path))) == content_hash
    except OSError:
        return None
    return mtime_ns if same else None


def _batched(paths: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Return paths some ten thousand at a time."""
    remaining = iter(paths)
    while batch := list(islice(remaining, _PATHS_AT_A_TIME)):
        yield batch
