"""Crops of the faces of results: those that are kept, and the others cut on demand; and keeping all of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from fsanalysis.crops.crop_store import CropStore, CropWriter
from fsdata.pictures.cutting import FaceCrop, MissingCrop
from fsdata.pictures.photo_faces import COLUMNS, Face, cut_faces, rows_of
from fsdata.results.reading import Results
from fsdata.selection.selected_faces import scan_selected
from fsengine.errors import FaceStatsError

FILE_CROPS = 4096
"""Of one file: what is lost at most where the program is killed."""


@dataclass(slots=True, kw_only=True)
class CropsMade:
    """What keeping crops did.

    Attributes:
        num_kept: Crops that were there already.
        num_made: Crops that were made.
        missing: Faces without a crop by reason.
    """

    num_kept: int = 0
    num_made: int = 0
    missing: Counter[str] = field(default_factory=Counter)


def iter_crops(results: Results, faces: pa.Table, store: CropStore | None = None) -> Iterator[FaceCrop | MissingCrop]:
    """Yield the crop of each face, or why there is none, in the order of the faces.

    Args:
        results: Whose faces they are.
        faces: Rows with `photo_faces.COLUMNS`, those of a photo one after the other, as `select_faces` returns them.
        store: Crops that are kept; None for those beside the results.

    Raises:
        ResultsError: A file of crops is damaged.
    """
    kept = CropStore(results.on_disk) if store is None else store

    def is_kept(face: Face) -> bool:
        return kept.holds(face["source"], face["content_hash"], face["face_index"])

    # Runs of kept ones, and runs of others, which are cut a few photos at a time.
    for there, run in itertools.groupby(rows_of(faces), key=is_kept):
        if not there:
            yield from cut_faces(run)
            continue
        for face in run:
            crop = kept.read(face["source"], face["content_hash"], face["face_index"])
            assert crop is not None
            yield crop


def keep_crops(results: Results, *, where: str | None = None, on_face: Callable[[], object] | None = None) -> CropsMade:
    """Cut out every face that has no crop beside the results yet, and keep it there.

    Stopped or killed, it goes on where it was the next time.

    Args:
        results: Whose faces.
        where: Which of them; see `scan_selected`. None for all.
        on_face: Called after each face that is looked at.

    Raises:
        InvalidInputError: `where` is no expression.
        ResultsError: Results or crops are damaged, or nothing can be written beside them.
    """
    made = CropsMade()
    store = CropStore(results.on_disk)

    def wanted() -> Iterator[Face]:
        for batch in scan_selected(results, where, list(COLUMNS)):
            for face in rows_of(batch):
                if store.holds(face["source"], face["content_hash"], face["face_index"]):
                    made.num_kept += 1
                    if on_face is not None:
                        on_face()
                else:
                    yield face

    writer = CropWriter(results.on_disk)
    try:
        for crop in cut_faces(wanted()):
            if isinstance(crop, MissingCrop):
                made.missing[crop.reason] += 1
            else:
                writer.add(crop)
                made.num_made += 1
            if on_face is not None:
                on_face()
            if len(writer) >= FILE_CROPS:
                writer.close()
                writer = CropWriter(results.on_disk)
    except BaseException as exc:
        if not isinstance(exc, FaceStatsError):
            writer.close()  # a Ctrl-C loses nothing
        raise
    writer.close()
    return made
