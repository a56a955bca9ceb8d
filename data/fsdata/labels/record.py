"""One labelled photo, as every reader returns it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path

from fsdata.labels.known_labels import bucket_mean
from fsengine.errors import InvalidInputError

OLDEST_YEARS = 130.0
"""No age or age bucket of a person ends above this."""


class NoteKind(str, Enum):
    """What a reader had to repair, could not read, or left out."""

    MANGLED_BUCKET = "mangled_bucket"
    MALFORMED_NAME = "malformed_name"
    NO_LABEL_WORD = "no_label_word"
    BAD_ROW = "bad_row"
    OTHER_SHEET = "other_sheet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderNote:
    """Something about a photo's labels, or about its table, that `check_records` reports.

    Attributes:
        kind: What it is.
        text: One sentence with the value that was found and what it was read as.
    """

    kind: NoteKind
    text: str


OnNote = Callable[[ReaderNote], object]
"""Called with what a reader left out of a table: a row, or a sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPhoto:
    """A photo of one face, with what a data set says of it; None is what it does not say.

    Attributes:
        path: Absolute path; the file need not be there.
        dataset: Name of the data set.
        identity: Who is shown, unique within the data set.
        gender: `female`, `male`, or what else the data say.
        age_low_years: Youngest age of the label's bucket; 31 of an exact age of 31.
        age_high_years: End of the bucket, which it does not reach; 32 of an exact age of 31. An open bucket ends
            `age_label.OPEN_BUCKET_YEARS` above its start.
        ethnicity: A class of the data set's own.
        rating: Mean rating, in the data set's own scale.
        rating_std: Standard deviation between raters (ddof 1), None for one rater.
        num_raters: How many people rated the photo.
        fold: The data set's own split.
        notes: What the reader repaired or could not read.
    """

    path: Path
    dataset: str
    identity: str | None = None
    gender: str | None = None
    age_low_years: float | None = None
    age_high_years: float | None = None
    ethnicity: str | None = None
    rating: float | None = None
    rating_std: float | None = None
    num_raters: int | None = None
    fold: str | None = None
    notes: tuple[ReaderNote, ...] = ()

    def __post_init__(self) -> None:
        if not self.path.is_absolute():
            raise InvalidInputError(f"path {self.path} is relative, expected an absolute one; join it with its folder")
        for name in _TEXTS:
            text = getattr(self, name)
            if text is not None and (not text or text != text.strip() or not text.isprintable()):
                raise InvalidInputError(
                    f"{name} is {text!r}, expected a printable text without spaces around it; use None for no label"
                )
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InvalidInputError(f"{name} is {value}, expected a finite number; use None for no label")
        self._check_age()
        self._check_rating()

    def _check_age(self) -> None:
        low, high = self.age_low_years, self.age_high_years
        if (low is None) != (high is None):
            raise InvalidInputError(f"age is {low} to {high}; give both ends of the bucket, or neither")
        if low is not None and high is not None and not 0 <= low < high <= OLDEST_YEARS:
            raise InvalidInputError(f"age is {low} to {high} years, expected 0 <= low < high <= {OLDEST_YEARS:g}")

    def _check_rating(self) -> None:
        if self.rating is None and (self.rating_std is not None or self.num_raters is not None):
            raise InvalidInputError("rating_std or num_raters is given without a rating; give the mean too")
        if self.rating_std is not None and self.rating_std < 0:
            raise InvalidInputError(f"rating_std is {self.rating_std}, expected >= 0")
        if self.num_raters is not None and self.num_raters < 1:
            raise InvalidInputError(f"num_raters is {self.num_raters}, expected >= 1")
        if self.num_raters == 1 and self.rating_std is not None:
            raise InvalidInputError(f"rating_std is {self.rating_std} of one rater, expected None")

    @property
    def age_years(self) -> float | None:
        """Mean age of the bucket in years; see `known_labels.bucket_mean`."""
        if self.age_low_years is None or self.age_high_years is None:
            return None
        return bucket_mean(self.dataset, self.age_low_years, self.age_high_years)

    @property
    def identity_key(self) -> str | None:
        """The identity, unique over data sets."""
        return None if self.identity is None else f"{self.dataset}/{self.identity}"


_TEXTS = ("dataset", "identity", "gender", "ethnicity", "fold")
_NUMBERS = tuple(field.name for field in fields(LabelledPhoto) if "float" in str(field.type))
