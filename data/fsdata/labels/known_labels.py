"""Class labels that the known data sets use, FairFace's age buckets, and the scales of their ratings."""

from __future__ import annotations

from dataclasses import dataclass

from fsdata.labels.age_label import OPEN_BUCKET_YEARS

GENDERS = ("female", "male")

FAIRFACE = "fairface"
UTKFACE = "utkface"
SCUT = "scut-fbp5500"
ADIENCE = "adience"

FAIRFACE_ETHNICITIES = (
    "White",
    "Black",
    "Latino_Hispanic",
    "East Asian",
    "Southeast Asian",
    "Indian",
    "Middle Eastern",
)
"""In the order of its paper (Karkkainen and Joo 2021)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeBucket:
    """One age bucket of a data set.

    Attributes:
        name: As the data set writes it.
        low_years: Its start.
        high_years: Its end, which it does not reach.
        mean_years: The mean age of its faces, or the best estimate of it.
    """

    name: str
    low_years: float
    high_years: float
    mean_years: float

    @property
    def short_name(self) -> str:
        """Return `70+` for an open bucket, else the name."""
        return self.name if self.name[0].isdigit() else f"{self.low_years:.0f}+"


def _closed(first: int, last: int) -> AgeBucket:
    """Return a bucket of whole years, both ends included; its mean age is taken to be its middle."""
    return AgeBucket(name=f"{first}-{last}", low_years=first, high_years=last + 1, mean_years=(first + last + 1) / 2)


FAIRFACE_AGES = (
    *(_closed(*ends) for ends in ((0, 2), (3, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69))),
    AgeBucket(name="more than 70", low_years=70, high_years=70 + OPEN_BUCKET_YEARS, mean_years=76),
)
"""FairFace's age buckets, the youngest first.

FairFace gives no ages within a bucket, so the mean of the open one is estimated from its counts: in
`fairface_label_train.csv` 6,228 faces are 50-59, 2,779 are 60-69 and 842 more than 70. If numbers fall by a constant
rate from 60 on, 842 of 3,621 beyond 70 make it 0.146 a year and the mean 70 + 1 / 0.146 = 76.9. The rate grows with age
(0.081 a year from the fifties to the sixties), so the mean is a little less: 76, with which the age head of the
pack that ships was fitted and measured. UTKFace gives ages; of its faces in the test assets 27 are 70 or older, median
77, mean 78.9.
"""

UTKFACE_ETHNICITIES = ("White", "Black", "Asian", "Indian", "Others")
"""In the order of the numbers in UTKFace's file names."""

SCUT_ETHNICITIES = ("Asian", "Caucasian")
SCUT_RATINGS = (1.0, 5.0)

_ETHNICITIES = {
    FAIRFACE: FAIRFACE_ETHNICITIES,
    # Tables that were made from UTKFace often write the singular.
    UTKFACE: (*UTKFACE_ETHNICITIES, "Other"),
    SCUT: SCUT_ETHNICITIES,
}


def known_ethnicities(dataset: str) -> tuple[str, ...]:
    """Return the ethnicity labels of a data set, or of all known ones where it is not known."""
    if has_fixed_classes(dataset):
        return _ETHNICITIES[dataset.lower()]
    return tuple(sorted({label for labels in _ETHNICITIES.values() for label in labels}))


def has_fixed_classes(dataset: str) -> bool:
    """Return whether the ethnicity labels of a data set are known."""
    return dataset.lower() in _ETHNICITIES


def known_ratings(dataset: str) -> tuple[float, float] | None:
    """Return the lowest and the highest rating of a data set, or None where it is not known."""
    return SCUT_RATINGS if dataset.lower() == SCUT else None


def bucket_mean(dataset: str, low_years: float, high_years: float) -> float:
    """Return the mean age of a bucket in years: what is known of the data set's, else its middle."""
    if dataset.lower() == FAIRFACE:
        for bucket in FAIRFACE_AGES:
            if (bucket.low_years, bucket.high_years) == (low_years, high_years):
                return bucket.mean_years
    return (low_years + high_years) / 2
