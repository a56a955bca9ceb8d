"""Groups of faces that every figure is also given for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fsdata.labels.known_labels import FAIRFACE_AGES
from fsdata.labels.record import LabelledPhoto


def groups_of(records: Sequence[LabelledPhoto]) -> dict[str, list[str | None]]:
    """Return gender, age bucket and ethnicity of each face; an attribute that no face has is left out."""
    groups: Mapping[str, list[str | None]] = {
        "gender": [record.gender for record in records],
        "age": [None if record.age_years is None else age_bucket(record.age_years) for record in records],
        "ethnicity": [record.ethnicity for record in records],
    }
    return {name: values for name, values in groups.items() if any(value is not None for value in values)}


def age_bucket(years: float) -> str:
    """Return the bucket of FairFace that an age falls into, such as `03-09` or `70+`; names sort by age."""
    bucket = [bucket for bucket in FAIRFACE_AGES if years >= bucket.low_years][-1]
    if bucket is FAIRFACE_AGES[-1]:
        return bucket.short_name
    return f"{bucket.low_years:02.0f}-{bucket.high_years - 1:02.0f}"
