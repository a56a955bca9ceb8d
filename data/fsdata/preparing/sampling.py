"""A sample of photos: drawn by a seed, as even over classes as there are photos of each."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsdata.labels.check.suspect_labels import age_class
from fsdata.labels.photo_paths import is_file
from fsdata.labels.record import LabelledPhoto
from fsdata.preparing.given_photos import reasons_text
from fsengine.errors import InvalidInputError

CLASSES = ("gender", "age", "ethnicity", "identity", "dataset", "split")
"""What a sample can be even over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Photos that were drawn.

    Attributes:
        paths: Theirs, in the order of the data set.
        classes: Class to how many photos were drawn, and of how many.
        left_out: Photos that could not be drawn, by reason.
    """

    paths: Sequence[Path]
    classes: Mapping[str, tuple[int, int]]
    left_out: Mapping[str, int]


def draw_sample(records: Sequence[LabelledPhoto], count: int, by: Sequence[str], seed: int, base: Path) -> Sample:
    """Draw photos. A photo's place in the draw depends on the seed and its path alone, not on the others.

    Args:
        records: What to draw from; a photo that comes again counts once.
        count: How many; where there are fewer, all are taken.
        by: Of `CLASSES`: the same number of each class, or of each combination, as long as there are so many; what
            is wanting is drawn from the others. Photos without such a label are left out.
        seed: Another seed gives another sample.
        base: Folder that paths are seen from, so that a data set elsewhere gives the same sample.

    Raises:
        InvalidInputError: `count` is not positive, or no photo can be drawn.
    """
    if count < 1:
        raise InvalidInputError(f"a sample of {count} was asked for, expected 1 or more")
    left_out: Counter[str] = Counter()
    members: dict[str, list[Path]] = {}
    once = {record.path: record for record in reversed(records)}
    order = list(dict.fromkeys(record.path for record in records))
    for path in order:
        name = _class_of(once[path], by)
        if name is None:
            left_out[f"without {' or '.join(by)}"] += 1
        elif not is_file(path):
            left_out["missing"] += 1
        else:
            members.setdefault(name, []).append(path)
    if not members:
        raise InvalidInputError(
            f"none of {len(order)} photos can be drawn ({reasons_text(left_out)}); check paths and --by"
        )
    for paths in members.values():
        paths.sort(key=lambda path: _place(path, seed, base))
    shares = _even_shares({name: len(paths) for name, paths in members.items()}, count)
    drawn = {path for name, paths in members.items() for path in paths[: shares[name]]}
    return Sample(
        paths=[path for path in order if path in drawn],
        classes={name: (shares[name], len(members[name])) for name in sorted(members)},
        left_out=left_out,
    )


def _even_shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many to draw of each class: as many of each, or all where there are fewer."""
    shares = dict.fromkeys(sizes, 0)
    left = min(count, sum(sizes.values()))
    # The smallest first: what they lack is shared among the larger ones.
    for number, name in enumerate(sorted(sizes, key=lambda name: (sizes[name], name))):
        shares[name] = min(sizes[name], left // (len(sizes) - number))
        left -= shares[name]
    return shares


def _class_of(record: LabelledPhoto, by: Sequence[str]) -> str | None:
    names = [_label(record, name) for name in by]
    return None if None in names else ", ".join(map(str, names))


def _label(record: LabelledPhoto, name: str) -> str | None:
    match name:
        case "age":
            bucket = age_class(record)
            return None if bucket is None else f"{bucket[0]:g}-{bucket[1] - 1:g}"
        case "split":
            return record.fold
        case "gender" | "ethnicity" | "identity" | "dataset":
            value: str | None = getattr(record, name)
            return value
        case _:
            raise InvalidInputError(f"a sample cannot be even over {name!r}; expected one of {', '.join(CLASSES)}")


def _place(path: Path, seed: int, base: Path) -> bytes:
    name = os.fsencode(os.path.relpath(path, base))
    return hashlib.sha256(f"{seed}:".encode() + name).digest()
