from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fsdata.labels.age_label import parse_age
from fsdata.labels.record import LabelledPhoto
from fsengine.errors import InvalidInputError

PHOTO = LabelledPhoto(path=Path("/photos/a.jpg"), dataset="mine", rating=3.0, rating_std=0.5, num_raters=4)


def test_a_record_says_its_age_and_its_identity() -> None:
    photo = replace(PHOTO, age_low_years=20.0, age_high_years=30.0, identity="7")
    assert photo.age_years == 25
    assert photo.identity_key == "mine/7"
    assert PHOTO.age_years is None
    assert PHOTO.identity_key is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": Path("a.jpg")}, "relative"),
        ({"dataset": ""}, "dataset"),
        ({"gender": " male"}, "spaces"),
        ({"ethnicity": ""}, "ethnicity"),
        ({"identity": "a\nb"}, "printable"),
        ({"age_low_years": 3.0}, "both ends"),
        ({"age_low_years": 30.0, "age_high_years": 20.0}, "low < high"),
        ({"age_low_years": -1.0, "age_high_years": 20.0}, "low < high"),
        ({"age_low_years": 10.0, "age_high_years": 900.0}, "low < high"),
        ({"rating": float("nan")}, "finite"),
        ({"rating": None}, "without a rating"),
        ({"rating_std": -0.1}, "rating_std"),
        ({"num_raters": 0}, "num_raters"),
        ({"num_raters": 1}, "one rater"),
    ],
)
def test_a_wrong_record_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        replace(PHOTO, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("31", 31, 32),
        ("31.0", 31, 32),
        ("31.5", 31, 32),
        ("0-2", 0, 3),
        ("20-29", 20, 30),
        ("20 \u2013 29", 20, 30),
        ("(25, 32)", 25, 33),
        ("70+", 70, 90),
        ("more than 70", 70, 90),
        ("60 and older", 60, 80),
    ],
)
def test_ages_are_read(text: str, low: float, high: float) -> None:
    age = parse_age(text)
    assert (age.low_years, age.high_years, age.repaired) == (low, high, None)


@pytest.mark.parametrize(
    ("text", "bucket"),
    [
        ("9-Mar", "3-9"),
        ("Mar-9", "3-9"),
        ("03-Sep", "3-9"),
        ("2024-03-09 00:00:00", "3-9"),
        ("Oct-19", "10-19"),
        ("19-Oct", "10-19"),
        ("6-Apr", "4-6"),
    ],
)
def test_dates_are_read_as_the_buckets_that_they_were(text: str, bucket: str) -> None:
    age, meant = parse_age(text), parse_age(bucket)
    assert (age.low_years, age.high_years) == (meant.low_years, meant.high_years)
    assert age.repaired == bucket


@pytest.mark.parametrize("text", ["", "old", "29-20", "-3", "9-Foo", "1e3", "nan", "20-29-39"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="age"):
        parse_age(text)
