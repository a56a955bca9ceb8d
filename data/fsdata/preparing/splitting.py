"""Labelled photos in three lists, to train, to stop and calibrate, and to measure; what belongs together stays so."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsdata.labels.check.suspect_labels import class_counts
from fsdata.labels.joining import join_results
from fsdata.labels.photo_content import read_contents
from fsdata.labels.record import LabelledPhoto
from fsdata.labels.splits import FRACTIONS, split_photos
from fsdata.preparing.given_photos import reasons_text
from fsdata.selection.photo_copies import DISTANCE, near_pairs
from fsengine.errors import InvalidInputError, MissingDependencyError
from fsengine.files.atomic import atomic_folder
from fsengine.files.output_path import OutputPaths
from fsengine.files.path_list import path_list

TABLE_FILE = "splits.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPhotos:
    """Photos on their sides.

    Attributes:
        records: N photos.
        sides: N names of `FRACTIONS`.
        groups: int64 (N,), equal for photos that belong together.
        left_out: Photos that are on no side, by reason.
    """

    records: Sequence[LabelledPhoto]
    sides: Sequence[str]
    groups: NDArray[np.int64]
    left_out: Mapping[str, int]

    def paths(self, side: str) -> list[Path]:
        """Return the photos of a side, each once."""
        return list(dict.fromkeys(r.path for r, s in zip(self.records, self.sides, strict=True) if s == side))

    def num_groups(self, side: str | None = None) -> int:
        """Return how many groups a side has, or all together."""
        rows = [row for row, name in enumerate(self.sides) if side in (None, name)]
        return len(np.unique(self.groups[rows]))

    def classes(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return how many photos each side has of each class: attribute, class and side to the number."""
        whole = class_counts(self.records)
        of_side = {
            side: class_counts([r for r, s in zip(self.records, self.sides, strict=True) if s == side])
            for side in FRACTIONS
        }
        return {
            attribute: {
                name: {side: found.get(attribute, {}).get(name, 0) for side, found in of_side.items()}
                for name in counts
            }
            for attribute, counts in whole.items()
        }


def split_by_content(
    records: Sequence[LabelledPhoto],
    seed: int,
    *,
    looks: bool,
    on_photo: Callable[[], object] | None = None,
) -> SplitPhotos:
    """Split photos; copies, pictures that look the same, and photos of one identity are on one side.

    Args:
        records: The photos.
        seed: Another seed gives another split.
        looks: Whether photos are decoded and compared by their looks.
        on_photo: Called after each different photo, twice with `looks`.

    Raises:
        InvalidInputError: No photo can be read.
        MissingDependencyError: OpenCV is not installed, and looks are compared.
    """
    if looks and importlib.util.find_spec("cv2") is None:
        raise MissingDependencyError(
            "OpenCV is not installed, and looks are compared with it: pip install 'facestats[analysis]', or compare "
            "bytes alone with --copies-only"
        )
    left_out: Counter[str] = Counter()
    contents = read_contents([record.path for record in records], on_photo)
    kept: list[tuple[LabelledPhoto, str]] = []
    for record, content in zip(records, contents, strict=True):
        if content.missing:
            left_out["missing"] += 1
        elif content.sha256 is None or content.fault is not None:
            left_out["unreadable"] += 1
        else:
            kept.append((record, content.sha256))
    pairs: list[tuple[int, int]] = []
    if looks and kept:
        hashes = _looks([record.path for record, _ in kept], on_photo)
        left_out["unreadable"] += hashes.count(None)
        kept = [item for item, found in zip(kept, hashes, strict=True) if found is not None]
        pairs = _alike([found for found in hashes if found is not None])
    if not kept:
        raise InvalidInputError(
            f"none of {len(records)} photos can be read ({reasons_text(+left_out)}); check their paths"
        )
    groups, sides = split_photos(
        [sha256 for _, sha256 in kept], [record.identity_key for record, _ in kept], None, seed, pairs
    )
    return SplitPhotos(records=[record for record, _ in kept], sides=sides, groups=groups, left_out=+left_out)


def split_by_faces(records: Sequence[LabelledPhoto], results: Path, seed: int) -> SplitPhotos:
    """Split photos as `fstrain` splits them: those with a face in results, near-duplicates by their embeddings.

    Args:
        records: The photos.
        results: Folder that `fsclient ingest --out` wrote.
        seed: As for `fstrain`.

    Raises:
        InvalidInputError: See `join_results`.
    """
    faces = join_results(results, records)
    identities = [record.identity_key for record in faces.records]
    groups, sides = split_photos(list(faces.content_hashes), identities, faces.embeddings, seed)
    return SplitPhotos(records=faces.records, sides=sides, groups=groups, left_out=faces.left_out)


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it is what an earlier split left and may be replaced.

    Raises:
        InvalidInputError: It does, or cannot be looked at.
    """
    if not os.path.lexists(out):
        OutputPaths([], overwrite=False).check(out)
        return
    if not out.is_dir() or out.is_symlink():
        raise InvalidInputError(f"{out} is no folder; choose another name for the lists")
    try:
        others = {entry.name for entry in os.scandir(out)}
    except OSError as exc:
        raise InvalidInputError(f"{out} cannot be read: {exc.strerror}; choose another folder") from exc
    ours = {TABLE_FILE, *map(_file_of, FRACTIONS)}
    if others - ours:
        raise InvalidInputError(f"{out} holds other files ({min(others - ours)}); choose a new folder for the lists")
    if others and not overwrite:
        raise InvalidInputError(f"{out} holds lists already; choose another folder, or replace them with --overwrite")


def write_split(split: SplitPhotos, out: Path) -> None:
    """Write a list for each side and a table of all photos, all of them or none; see `check_out` first.

    Raises:
        InvalidInputError: A path does not fit into a list.
        OSError: They cannot be written.
    """
    lists = {_file_of(side): path_list(split.paths(side)) for side in FRACTIONS}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "split", "group"])
    rows = zip(split.records, split.sides, split.groups.tolist(), strict=True)
    table.writerows(dict.fromkeys((os.fspath(record.path), side, group) for record, side, group in rows))
    lists[TABLE_FILE] = text.getvalue().encode(errors="surrogateescape")
    with atomic_folder(out, f".{out.name[:200]}.") as folder:
        for name, data in lists.items():
            (folder / name).write_bytes(data)


def _file_of(side: str) -> str:
    return f"{side}.txt"


def _looks(paths: Sequence[Path], on_photo: Callable[[], object] | None) -> list[int | None]:
    """Return the perceptual hash of each photo, None of one that cannot be decoded."""
    from fsdata.pictures.cutting import photo_hash
    from fsdata.preparing.reading_photos import pixels_of

    def look(path: Path) -> int | None:
        pixels = pixels_of(path)
        return None if isinstance(pixels, str) else photo_hash(pixels)

    different = list(dict.fromkeys(paths))
    found: dict[Path, int | None] = {}
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        for path, looks in zip(different, pool.map(look, different), strict=True):
            found[path] = looks
            if on_photo is not None:
                on_photo()
    finally:
        pool.shutdown(cancel_futures=True)
    return [found[path] for path in paths]


def _alike(looks: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs of rows that look the same, enough of them to connect all that do."""
    values, firsts, numbers = np.unique(np.array(looks, np.uint64), return_index=True, return_inverse=True)
    same = [(int(firsts[number]), row) for row, number in enumerate(numbers.tolist()) if firsts[number] != row]
    return [*same, *((int(firsts[a]), int(firsts[b])) for a, b in near_pairs(values, DISTANCE))]
