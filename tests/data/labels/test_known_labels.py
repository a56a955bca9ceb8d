"""FairFace's age buckets: one table, without gaps, and the mean ages that training and the lite pack take from it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from fsdata.labels.age_label import parse_age
from fsdata.labels.known_labels import FAIRFACE_AGES, bucket_mean
from fsdata.labels.record import LabelledPhoto


def test_the_buckets_follow_each_other_and_are_read_as_their_names_say() -> None:
    assert FAIRFACE_AGES[0].low_years == 0
    for bucket, following in pairwise(FAIRFACE_AGES):
        assert bucket.high_years == following.low_years
    for bucket in FAIRFACE_AGES:
        assert bucket.low_years < bucket.mean_years < bucket.high_years
        for name in (bucket.name, bucket.short_name):
            age = parse_age(name)
            assert (age.low_years, age.high_years) == (bucket.low_years, bucket.high_years)


@pytest.mark.parametrize(
    ("dataset", "low", "high", "mean"),
    [
        ("fairface", 20.0, 30.0, 25.0),
        ("fairface", 0.0, 3.0, 1.5),
        ("fairface", 70.0, 90.0, 76.0),
        ("FairFace", 70.0, 90.0, 76.0),
        ("mine", 70.0, 90.0, 80.0),  # whether its bucket is an open one is not known
        ("fairface", 70.0, 71.0, 70.5),
    ],
)
def test_a_bucket_has_one_mean_age(dataset: str, low: float, high: float, mean: float) -> None:
    assert bucket_mean(dataset, low, high) == mean
    photo = LabelledPhoto(path=Path("/photos/a.jpg"), dataset=dataset, age_low_years=low, age_high_years=high)
    assert photo.age_years == mean
