"""What earlier runs hold of photos that were touched since, or are gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fsclient.ingest.settings import IngestConfig
from fsclient.photos.entry import InsideEntry, PhotoEntry
from fsdata.results.latest import photos_at
from fsdata.results.ledger import Ledger
from fsdata.results.parts import PartNumbers, PartWriter
from fsdata.results.source import is_gone, local_file
from fsdata.results.status import Status
from fsengine.errors import StoreUnavailableError
from fsengine.files.stores.object_state import ObjectState


@dataclass(frozen=True, slots=True)
class TouchedPhoto:
    """A photo that has a row, in another state.

    Attributes:
        entry: The photo.
        row: Its row, counted over all parts.
        state: The state that it is in now.
    """

    entry: PhotoEntry
    row: int
    state: ObjectState


class TouchedRows:
    """Writes the rows of photos again that are in another state and have the same content: with the new state.

    A photo that could not be read, that the server refused, or whose status is to be done again is left to be scored.
    """

    def __init__(self, config: IngestConfig, ledger: Ledger, numbers: PartNumbers, stopped: Callable[[], bool]) -> None:
        """Prepare.

        Args:
            config: The run; its folder is held by `fsdata.results.parts.locked`.
            ledger: What earlier runs did.
            numbers: Of the folder's next parts.
            stopped: Returns whether no more photos are to be read.
        """
        self._ledger = ledger
        self._numbers = numbers
        self._stopped = stopped
        self._part_size = config.part_size
        self._again = {Status.FAILED, *config.retry_statuses}
        self._held: list[pa.Table] = []

    def keep(self, touched: Sequence[TouchedPhoto]) -> Iterator[tuple[TouchedPhoto, Status | None]]:
        """Yield photos and the status of the row that is kept; None where there is none.

        Raises:
            ResultsError: A part cannot be read or written.
        """
        by_row: dict[int, TouchedPhoto] = {}
        for one in touched:
            if by_row.setdefault(one.row, one) is not one:
                yield one, None
        rows = np.array(sorted(by_row), np.int64)
        at = 0
        for photos in photos_at(self._ledger.paths, self._ledger.starts, rows):
            found = [by_row[row] for row in rows[at : at + photos.num_rows].tolist()]
            at += photos.num_rows
            columns = (photos[name].to_pylist() for name in ("bytes", "content_hash", "status"))
            keep = []
            for one, num_bytes, content_hash, status in zip(found, *columns, strict=True):
                keep.append(
                    content_hash is not None
                    and Status(status) not in self._again
                    and not self._stopped()
                    and _is_same(one, num_bytes, content_hash)
                )
                yield one, Status(status) if keep[-1] else None
            self._hold(photos, found, keep)

    def write(self) -> None:
        """Write the rows at hand.

        Raises:
            ResultsError: They cannot be written.
        """
        if self._held:
            table = pa.concat_tables(self._held)
            PartWriter(self._numbers, table.schema, table["model_set_id"][0].as_py()).write_table(table)
            self._held.clear()

    def _hold(self, photos: pa.Table, found: Sequence[TouchedPhoto], keep: Sequence[bool]) -> None:
        kept = photos.filter(pa.array(keep, pa.bool_()))
        if not kept.num_rows:
            return
        states = [one.state for one, is_kept in zip(found, keep, strict=True) if is_kept]
        for name, values in (
            ("mtime_ns", [state.mtime_ns for state in states]),
            ("etag", [state.etag for state in states]),
        ):
            at = kept.schema.get_field_index(name)
            field = kept.schema.field(at)
            kept = kept.set_column(at, field, pa.array(values, field.type))
        kept = kept.combine_chunks()
        if self._held and not self._held[0].schema.equals(kept.schema, check_metadata=True):
            self.write()
        self._held.append(kept)
        if sum(map(len, self._held)) >= self._part_size:
            self.write()


def count_gone(config: IngestConfig, ledger: Ledger) -> int:
    """Return the number of photos of the results that lay in a folder of the sources and are gone.

    Args:
        config: The run, which searched its sources to their end.
        ledger: What earlier runs did; those that it was asked for were found.

    Raises:
        ResultsError: A part cannot be read.
    """
    folders = [os.path.abspath(os.fsencode(source)) for source in config.sources if os.path.isdir(source)]
    if not folders:
        return 0
    # A photo's text is a URI where its name is not UTF-8, that of its folder need not be one.
    prefixes = tuple(os.path.join(folder, b"") for folder in folders)
    num_gone = 0
    for photos in photos_at(ledger.paths, ledger.starts, ledger.unmet_rows(), ["source"]):
        for source in photos["source"].to_pylist():
            path = local_file(source)
            num_gone += path is not None and path.startswith(prefixes) and is_gone(source)
    return num_gone


def _is_same(touched: TouchedPhoto, num_bytes: int, content_hash: str) -> bool:
    """Return whether a photo has the content that its row was made from."""
    state = touched.state
    if not isinstance(touched.entry, InsideEntry) and 0 <= state.num_bytes != num_bytes:
        return False
    try:
        file = touched.entry.read().file
    except StoreUnavailableError:
        return False
    if isinstance(touched.entry, InsideEntry):
        return file.content_hash == content_hash
    read = ObjectState(num_bytes=file.num_bytes, mtime_ns=file.mtime_ns, etag=file.etag)
    return file.content_hash == content_hash and (read == state or state.etag is None)
