"""Ages and age buckets as texts, and the buckets that a spreadsheet turned into dates."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fsengine.errors import InvalidInputError

OPEN_BUCKET_YEARS = 20.0
"""Width that an open bucket such as `70+` is given: 70 to 90, since few people on photos are older than 90.

Where the mean age of a data set's open bucket is known better than its middle, `known_labels` says so.
"""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER = r"(\d{1,3}(?:\.\d+)?)"
_EXACT = re.compile(_NUMBER)
_BUCKET = re.compile(rf"\(?\s*{_NUMBER}\s*(?:-|\u2013|to)\s*{_NUMBER}\s*\)?")
_PAIR = re.compile(rf"[(\[]\s*{_NUMBER}\s*,\s*{_NUMBER}\s*[)\]]")
_COMMA = re.compile(r"(\d+)\s*,\s*(\d+)")
_OPEN = re.compile(rf"(?:more than|over|above|>=?)\s*{_NUMBER}|{_NUMBER}\s*(?:\+|and (?:older|over|above)|or older)")
_DAY_MONTH = re.compile(r"(\d{1,2})[-. /]([a-z]{3})[a-z]*\.?")
_MONTH_DAY = re.compile(r"([a-z]{3})[a-z]*\.?[-. /](\d{1,2})")
_ISO_DATE = re.compile(r"\d{4}-(\d\d)-(\d\d)(?:[ t]00:00(?::00(?:\.0+)?)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeLabel:
    """An age or age bucket.

    Attributes:
        low_years: Its start.
        high_years: Its end, which it does not reach.
        repaired: Bucket that a date was read as, such as `3-9` of `9-Mar`; None where nothing was repaired.
    """

    low_years: float
    high_years: float
    repaired: str | None = None


def parse_age(text: str) -> AgeLabel:
    """Read an age (`31`), a bucket (`20-29`, `(25, 32)`) or an open bucket (`70+`, `more than 70`).

    A bucket that a spreadsheet took for a date (`9-Mar`, `Oct-19`, `2024-03-09`) is read as what it was: its month and
    its day are the two ends, and the smaller one was the first.

    Raises:
        InvalidInputError: The text is none of these.
    """
    plain = text.strip().lower()
    if match := _EXACT.fullmatch(plain):
        age = float(match[1])
        # A person of 31 is anywhere from 31 to 32; an age with a fraction is the middle of as much.
        low = age if age.is_integer() else max(age - 0.5, 0.0)
        return AgeLabel(low_years=low, high_years=low + 1)
    if match := _BUCKET.fullmatch(plain) or _PAIR.fullmatch(plain):
        low, high = float(match[1]), float(match[2])
        if low > high:
            raise InvalidInputError(f"age bucket {text!r} ends before it starts; expected the younger age first")
        return AgeLabel(low_years=low, high_years=high + 1)
    if match := _OPEN.fullmatch(plain):
        low = float(match[1] or match[2])
        return AgeLabel(low_years=low, high_years=low + OPEN_BUCKET_YEARS)
    if match := _COMMA.fullmatch(plain):
        raise InvalidInputError(
            f"age {text!r} may be {match[1]}.{match[2]} or the bucket {match[1]}-{match[2]}; write it as one of them"
        )
    ends = _date_numbers(plain)
    if ends is None:
        raise InvalidInputError(f"age {text!r} is no age; expected one such as 31, 20-29, 70+ or 'more than 70'")
    low, high = sorted(ends)
    return AgeLabel(low_years=float(low), high_years=float(high) + 1, repaired=f"{low}-{high}")


def _date_numbers(text: str) -> tuple[int, int] | None:
    """Return the numbers of the month and of the day (or of the year's last digits) of a date, or None."""
    if match := _ISO_DATE.fullmatch(text):
        return int(match[1]), int(match[2])
    if match := _DAY_MONTH.fullmatch(text):
        day, month = match[1], match[2]
    elif match := _MONTH_DAY.fullmatch(text):
        month, day = match[1], match[2]
    else:
        return None
    return (_MONTHS.index(month) + 1, int(day)) if month in _MONTHS else None
