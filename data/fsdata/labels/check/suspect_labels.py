"""Labels that look wrong: typing errors, unknown classes, rare classes, ratings that no scale holds."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fsdata.labels.known_labels import GENDERS, has_fixed_classes, known_ethnicities, known_ratings
from fsdata.labels.record import LabelledPhoto

NEAR = 0.8
"""Similarity of difflib from which on a label counts as a typing error: one wrong letter of five."""

RARE = 20
"""A label that is this many times rarer than one like it may be a typing error of it."""

FREQUENT = 10
"""A class of the user's own is taken for meant when so many photos have it."""

UNBALANCED = 10
"""An attribute is unbalanced when a class has this many times more photos than another."""

SCALES = ((0.0, 1.0), (1.0, 5.0), (1.0, 7.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
"""Scales that people are asked to rate on, the narrowest first."""

SCALE_SHARE = 0.98
"""Share of the ratings that lie on a scale when it is the scale that was meant."""

Told = tuple[LabelledPhoto, str]
"""A photo and a sentence on it."""


def near_misses(records: Sequence[LabelledPhoto]) -> tuple[list[Told], list[Told]]:
    """Return the photos whose gender or ethnicity looks like a typing error, and those where no data set knows it."""
    typos: list[Told] = []
    unknown: list[Told] = []
    for name in ("gender", "ethnicity"):
        for dataset in dict.fromkeys(record.dataset for record in records):
            photos = [(record, getattr(record, name)) for record in records if record.dataset == dataset]
            known = GENDERS if name == "gender" else known_ethnicities(dataset)
            counts = Counter(label for _, label in photos if label is not None)
            fixed = name == "gender" or has_fixed_classes(dataset)
            meant = {label: meant_label(label, known, counts, fixed) for label in counts if label not in known}
            for record, label in photos:
                if label in meant and (near := meant[label]) is not None:
                    typos.append((record, f"{name} {label!r}, perhaps {near!r}"))
                elif label in meant:
                    unknown.append((record, f"{name} {label!r}, known are {', '.join(known)}"))
    return typos, unknown


def meant_label(label: str, known: Sequence[str], counts: Mapping[str, int], fixed: bool) -> str | None:
    """Return the class that an unknown label was probably meant to be, or None.

    Args:
        label: A label that is none of the known ones.
        known: Labels of known data sets.
        counts: All labels of the data set, to their photos.
        fixed: The data set has the known classes and no others.
    """
    if not fixed and counts[label] >= FREQUENT:
        # A class of the user's own, such as `South Asian`: wrong only where the data spell it in two ways.
        spelled = [other for other in counts if other != label and _plain(other) == _plain(label)]
        return max(spelled, key=lambda other: counts[other], default=None)
    frequent = [other for other, count in counts.items() if count >= max(FREQUENT, RARE * counts[label])]
    plain = {_plain(other): other for other in (*frequent, *known)}
    near = difflib.get_close_matches(_plain(label), plain, n=1, cutoff=NEAR)
    return plain[near[0]] if near else None


def class_counts(records: Sequence[LabelledPhoto]) -> dict[str, dict[str, int]]:
    """Return how many photos each class of gender, age and ethnicity has, of the attributes that are labelled."""
    found: dict[str, dict[str, int]] = {}
    for name in ("gender", "ethnicity"):
        labels = Counter(label for record in records if (label := getattr(record, name)) is not None)
        if labels:
            found[name] = dict(sorted(labels.items()))
    ages = Counter(bucket for record in records if (bucket := age_class(record)) is not None)
    if ages:
        found["age"] = {f"{low:g}-{high - 1:g}": count for (low, high), count in sorted(ages.items())}
    return found


def age_class(record: LabelledPhoto) -> tuple[float, float] | None:
    """Return the age bucket of a photo in years; the ten years around an exact age."""
    low, high = record.age_low_years, record.age_high_years
    if low is None or high is None:
        return None
    if high - low > 1:
        return low, high
    decade = low // 10 * 10
    return decade, decade + 10


def imbalances(classes: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yield a sentence for each attribute whose classes differ much in size."""
    for attribute, counts in classes.items():
        rare = min(counts, key=lambda label: counts[label])
        common = max(counts, key=lambda label: counts[label])
        if counts[common] >= UNBALANCED * counts[rare]:
            yield f"{attribute}: {counts[common]} of {common}, {counts[rare]} of {rare}"


def ratings_outside(
    records: Sequence[LabelledPhoto], given: tuple[float, float] | None
) -> tuple[list[Told], list[Told]]:
    """Return the photos whose rating leaves the range that was given or is known, and the scale that others show."""
    certain: list[Told] = []
    likely: list[Told] = []
    for dataset in dict.fromkeys(record.dataset for record in records):
        rated = [
            (record, record.rating) for record in records if record.dataset == dataset and record.rating is not None
        ]
        known = given or known_ratings(dataset)
        scale = known or shown_scale([rating for _, rating in rated])
        if scale is None:
            continue
        (certain if known else likely).extend(
            (record, f"rating {rating:g}, the scale is {scale[0]:g} to {scale[1]:g}")
            for record, rating in rated
            if not scale[0] <= rating <= scale[1]
        )
    return certain, likely


def shown_scale(ratings: Sequence[float]) -> tuple[float, float] | None:
    """Return the narrowest common scale that holds nearly all ratings, or None where none does."""
    for low, high in SCALES:
        if ratings and sum(low <= rating <= high for rating in ratings) >= SCALE_SHARE * len(ratings):
            return low, high
    return None


def _plain(label: str) -> str:
    return label.lower().replace("_", " ").replace("-", " ")
