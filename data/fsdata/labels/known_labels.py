"""Class labels that the known data sets use, and the scales of their ratings."""

from __future__ import annotations

GENDERS = ("female", "male")

FAIRFACE = "fairface"
UTKFACE = "utkface"
SCUT = "scut-fbp5500"

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

FAIRFACE_AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")

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
