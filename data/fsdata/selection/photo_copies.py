"""Photos that are the same: by their bytes, or nearly, by how the picture looks."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsdata.results.reading import Results
from fsdata.results.status import SCORED
from fsdata.selection.kept_crops import PHOTO_HASH, bits_apart, photo_hashes
from fsengine.errors import InvalidInputError

DISTANCE = 4
"""Bits of 64 by default: copies that were resized or compressed anew differ in fewer."""

MOST_DISTANCE = 6
"""Beyond it pictures that are merely alike come together: the first of 332,520 pairs of portraits at 6."""

_BITS = 64

COPY_SCHEMA = pa.schema(
    [
        pa.field("group", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("distance", pa.int32(), nullable=False),
    ]
)


def find_copies(results: Results) -> pa.Table:
    """Return the scored photos of which there are several with the same bytes.

    Returns:
        A row per photo: `group` (from 0, the largest first), `source`, `content_hash` and `distance` (0), by group and
        source.
    """
    photos = _scored(results)
    contents = photos["content_hash"].combine_chunks().dictionary_encode().indices.to_numpy()
    return _grouped(photos, contents, np.zeros(len(contents), np.int64))


def find_near_duplicates(results: Results, distance: int = DISTANCE) -> pa.Table:
    """Return the photos that look the same: whose perceptual hashes differ in at most so many bits of 64.

    Photos come together around the first of them by source: each is within the distance of the first of its group, so
    that no chain of small steps joins what looks different. It compares whole photos, never faces: two photos of one
    person are no duplicates. Photos without a kept crop (`fsclient crops`) have no hash and are not looked at.

    Args:
        results: Whose photos.
        distance: Bits, 0 to 6.

    Returns:
        As `find_copies`, with the bits that differ from the first photo of the group.

    Raises:
        InvalidInputError: The distance is out of range, or no crops are kept.
        ResultsError: A file of crops is damaged.
    """
    if not 0 <= distance <= MOST_DISTANCE:
        raise InvalidInputError(f"the distance is {distance} bits, expected 0 to {MOST_DISTANCE}")
    photos = hashed_photos(results)
    if not photos.num_rows:
        raise InvalidInputError(
            f"{results.folder} has no crops, which hold what photos are compared by; run `fsclient crops "
            f"{results.folder}` first"
        )
    hashes = photos[PHOTO_HASH].to_numpy()
    values, first_rows, numbers = np.unique(hashes, return_index=True, return_inverse=True)
    leaders = _leaders(values, first_rows, distance)
    return _grouped(photos, leaders[numbers], bits_apart(hashes, values[leaders[numbers]]).astype(np.int64))


def hashed_photos(results: Results) -> pa.Table:
    """Return the scored photos whose hash is kept: `source`, `content_hash`, `photo_hash`, sorted by source."""
    kept = photo_hashes(results.on_disk).group_by(["source", "content_hash"]).aggregate([(PHOTO_HASH, "min")])
    kept = kept.rename_columns({f"{PHOTO_HASH}_min": PHOTO_HASH})
    joined = _scored(results).join(kept, ["source", "content_hash"], join_type="inner")
    return joined.select(["source", "content_hash", PHOTO_HASH]).sort_by("source")


def _scored(results: Results) -> pa.Table:
    """Return source and content hash of the photos that were scored, sorted by source."""
    names = ["source", "content_hash", "status"]
    batches = results.scan_photos(names)
    photos = pa.Table.from_batches(batches, schema=results.photo_schema(names))
    scored = pc.is_in(photos["status"], pa.array([status.value for status in SCORED]))
    return photos.filter(scored).select(names[:2]).sort_by("source")


def _grouped(photos: pa.Table, keys: NDArray[np.int64], distances: NDArray[np.int64]) -> pa.Table:
    """Return photos (sorted by source) that share their key with others, the largest groups first."""
    sizes = np.bincount(keys, minlength=1) if len(keys) else np.zeros(1, np.int64)
    shared = np.flatnonzero(sizes[keys] > 1)
    # A group is placed by its size, then by the source of its first photo.
    values, firsts = np.unique(keys[shared], return_index=True)
    order = np.lexsort((firsts, -sizes[values]))
    place = np.empty(len(values), np.int64)
    place[order] = np.arange(len(values))
    groups = place[np.searchsorted(values, keys[shared])]
    rows = np.argsort(groups, kind="stable")
    taken = photos.select(["source", "content_hash"]).take(pa.array(shared[rows], pa.int64()))
    columns = [groups[rows], taken["source"], taken["content_hash"], distances[shared[rows]].astype(np.int32)]
    return pa.table(columns, schema=COPY_SCHEMA)


def _leaders(values: NDArray[np.uint64], first_rows: NDArray[np.int64], distance: int) -> NDArray[np.int64]:
    """Return for each hash the number of the hash that its group is around; the one of the earliest photo leads."""
    near: dict[int, set[int]] = {}
    for one, other in near_pairs(values, distance):
        near.setdefault(one, set()).add(other)
        near.setdefault(other, set()).add(one)
    leaders = np.arange(len(values), dtype=np.int64)
    taken: set[int] = set()
    for number in sorted(near, key=lambda number: int(first_rows[number])):
        if number in taken:
            continue
        taken.add(number)
        for other in near[number] - taken:
            leaders[other] = number
            taken.add(other)
    return leaders


def near_pairs(values: NDArray[np.uint64], distance: int) -> list[tuple[int, int]]:
    """Return the pairs of hashes within a distance, exactly; a pair may come more than once.

    Of `distance` + 2 pieces of a hash two at least are untouched by so many different bits; so only hashes that agree
    in two pieces are compared (Manku, Jain, Das Sarma 2007, "Detecting near-duplicates for web crawling").

    Args:
        values: uint64 (N,), each different.
        distance: In bits.

    Returns:
        Two numbers of hashes each.
    """
    found: list[tuple[int, int]] = []
    edges = np.linspace(0, _BITS, distance + 3).round().astype(int)
    pieces = [((1 << int(high - low)) - 1) << int(low) for low, high in itertools.pairwise(edges)]
    for one, other in itertools.combinations(pieces, 2):
        masked = values & np.uint64(one | other)
        order = np.argsort(masked, kind="stable")
        masked = masked[order]
        # Each with the next that agrees with it, then with the one after that, until none agrees.
        starts, step = np.arange(len(order)), 1
        while True:
            starts = starts[starts + step < len(order)]
            starts = starts[masked[starts] == masked[starts + step]]
            if not len(starts):
                break
            firsts, seconds = order[starts], order[starts + step]
            near = bits_apart(values[firsts], values[seconds]) <= distance
            found.extend(zip(firsts[near].tolist(), seconds[near].tolist(), strict=True))
            step += 1
    return found
