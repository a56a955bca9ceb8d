"""Groups of faces that every figure is also given for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fsdata.labels.record import LabelledPhoto

# Lower ends of FairFace's age buckets, in years.
_BUCKETS = (0, 3, 10, 20, 30, 40, 50, 60, 70)


def groups_of(records: Sequence[LabelledPhoto]) -> dict[str, list[str | None]]:
    """Return gender, age bucket and ethnicity of each face; an attribute that no face has is left out."""
    groups: Mapping[str, list[str | None]] = {
        "gender": [record.gender for record in records],
        "age": [None if record.age_years is None else age_bucket(record.age_years) for record in records],
        "ethnicity": [record.ethnicity for record in records],
    }
    return {name: values for name, values in groups.items() if any(value is not None for value in values)}


def age_bucket(years: float) -> str:
    """Return the bucket of FairFace that an age falls into."""
    position = max(index for index, low in enumerate(_BUCKETS) if years >= low)
    low = _BUCKETS[position]
    return f"{low:02d}+" if position == len(_BUCKETS) - 1 else f"{low:02d}-{_BUCKETS[position + 1] - 1:02d}"
