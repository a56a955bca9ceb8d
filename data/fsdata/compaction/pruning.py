"""Drop the rows of files that are gone from a folder of results."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.digests import Digests, LastRows, source_digests
from fsdata.results.latest import LatestPhotos
from fsdata.results.part_reading import open_part
from fsdata.results.parts import ROW_GROUP_SIZE, WRITE_OPTIONS, locked, part_paths, results_file
from fsdata.results.source import is_gone, local_file
from fsdata.results.staging import PruningStaging, finish_pruning, refuse_interrupted
from fsengine.errors import InvalidInputError

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GonePhotos:
    """The photos of a folder of results whose files are gone.

    Attributes:
        num_photos: Photos of the folder.
        num_gone: Those whose files are gone.
        num_elsewhere: Those in stores and on the web, where nobody is asked.
        statuses: Of those that are gone.
        first: Sources of the first of them.
        rows: Digests of the sources of all of them.
    """

    num_photos: int
    num_gone: int
    num_elsewhere: int
    statuses: Counter[str]
    first: list[str]
    rows: LastRows

    @property
    def all_gone(self) -> bool:
        """Return whether no file is left, as it looks where a disk is not mounted."""
        return self.num_gone > 0 and self.num_gone == self.num_photos - self.num_elsewhere


def find_gone(folder: Path) -> GonePhotos:
    """Find the photos of a folder of results whose files are gone. Nothing is changed.

    Only what the system says does not exist is gone; a file that cannot be looked up for another reason is there.

    Raises:
        InvalidInputError: The folder holds no parts.
        ResultsError: A part cannot be read, or a refresh was interrupted.
    """
    refuse_interrupted(folder)
    paths = part_paths(folder)
    if not paths:
        raise InvalidInputError(f"{folder} holds no parts; expected a folder written by `fsclient ingest --out`")
    latest = LatestPhotos(paths)
    first: list[str] = []
    digests: list[Digests] = []
    statuses: Counter[str] = Counter()
    num_elsewhere = 0
    for _, table in latest.tables(["source", "status"]):
        sources = table["source"].to_pylist()
        num_elsewhere += sum(local_file(source) is None for source in sources)
        photos = zip(sources, table["status"].to_pylist(), strict=True)
        gone = [(source, status) for source, status in photos if is_gone(source)]
        statuses.update(status for _, status in gone)
        first += [source for source, _ in gone[: _SHOWN - len(first)]]
        digests.append(source_digests([source for source, _ in gone]))
    return GonePhotos(
        num_photos=latest.num_photos,
        num_gone=statuses.total(),
        num_elsewhere=num_elsewhere,
        statuses=statuses,
        first=first,
        rows=LastRows(digests),
    )


def prune(folder: Path, *, even_all: bool = False) -> GonePhotos:
    """Drop every row of each photo whose file is gone, whole or not at all; what was interrupted is finished first.

    Parts that hold none of them stay as they are; the others are made anew beside them and take their place together.

    Args:
        folder: Of results.
        even_all: Whether to go on where all files are gone.

    Returns:
        What was dropped.

    Raises:
        InvalidInputError: The folder holds no parts, or all files are gone and `even_all` is not set.
        ResultsError: A part cannot be read, the folder cannot be written to, another run holds it, or a refresh was
            interrupted.
    """
    with locked(folder):
        finish_pruning(folder)
        gone = find_gone(folder)
        if gone.all_gone and not even_all:
            raise InvalidInputError(
                f"none of the {gone.num_photos:,} photos of {folder} is there any more ({gone.first[0]}), as if a disk "
                "were not mounted: nothing was dropped; mount it, or drop all of them with --all"
            )
        if gone.num_gone:
            staging = PruningStaging(folder)
            emptied = [path.name for path in part_paths(folder) if _stage_rest(path, staging.path, gone.rows)]
            staging.replace_parts(emptied)
        return gone


def _stage_rest(path: Path, staged: Path, gone: LastRows) -> bool:
    """Write what is left of a part, where some of it goes but not all; return whether nothing is left."""
    with open_part(path) as part:
        kept = [gone.find(source_digests(table["source"].combine_chunks())) < 0 for table in part.groups(["source"])]
        num_kept = sum(int(group.sum()) for group in kept)
        if 0 < num_kept < part.num_rows:
            with results_file(staged / path.name) as out, pq.ParquetWriter(out, part.schema, **WRITE_OPTIONS) as writer:
                for number, mask in enumerate(kept):
                    if mask.any():
                        writer.write_table(part.group(number).filter(pa.array(mask)), ROW_GROUP_SIZE)
        return num_kept == 0
