"""What the cells of a label table mean: no label at all, or a number with a point or a comma."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from fsdata.labels.record import NoteKind, ReaderNote
from fsengine.errors import InvalidInputError

NO_LABEL_WORDS = frozenset(
    {
        *("", "-", "--", "---", "\u2013", "\u2014", "?", "??", "???", ".", "*"),
        *("na", "n/a", "n.a.", "n.a", "n\\a", "\\n", "nan", "none", "null", "(null)", "nil", "nat", "<na>", "<nan>"),
        *("unknown", "unk", "undefined", "unspecified", "missing", "not available", "no label"),
        *("unlabeled", "unlabelled", "#n/a", "#na", "#null!", "#value!", "#ref!", "#div/0!"),
    }
)
"""What people and programs write where they know no label, in lower case."""

_UNKNOWN_GENDERS = frozenset({"u"})
"""Adience's letter, and that of many tables, for a face of which annotators could not tell."""

_COMMA = re.compile(r"[+-]?(\d+),(\d+)")


def is_no_label(text: str) -> bool:
    """Return whether a text says that there is no label."""
    return text.strip().casefold() in NO_LABEL_WORDS


def labels_of(cells: Mapping[str, str]) -> tuple[dict[str, str], tuple[ReaderNote, ...]]:
    """Return cells whose texts are labels, and a note for each other one that is not empty.

    Args:
        cells: What a row says, by attribute.

    Returns:
        The cells with an empty text for what is no label, and the notes.
    """
    kept, notes = {}, []
    for name, text in cells.items():
        unknown = is_no_label(text) or (name == "gender" and text.strip().casefold() in _UNKNOWN_GENDERS)
        kept[name] = "" if unknown else text
        if unknown and text:
            notes.append(ReaderNote(kind=NoteKind.NO_LABEL_WORD, text=f"{name} {text!r} is no label"))
    return kept, tuple(notes)


def number(name: str, text: str) -> float | None:
    """Return a number; None of an empty text.

    Raises:
        InvalidInputError: It is no finite number.
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInputError(f"{name} is {text!r}, expected a number, or nothing where there is none")
    return value


def has_decimal_commas(columns: Iterable[tuple[str, bool, Iterable[tuple[str, str]]]]) -> bool:
    """Return whether the numbers of a table have decimal commas, as one of its columns shows.

    A comma is decimal where no other reading is left: an age `31,5` is no bucket, and a rating `3,5` has no thousands.
    What one column shows counts for all, since a program writes a whole table in one way.

    Args:
        columns: Of each column of numbers: its name, whether its numbers are ages, and place and text of each cell.

    Raises:
        InvalidInputError: There are commas that may be read in two ways.
    """
    doubtful: str | None = None
    for name, is_age, cells in columns:
        for place, text in cells:
            match = _COMMA.fullmatch(text)
            if match is None:
                continue
            whole, fraction = match[1], match[2]
            if is_age:
                if int(whole) >= int(fraction) or fraction.startswith("0") or len(fraction) > 2:
                    return True
                other = f"the bucket {whole}-{fraction}"
            else:
                if len(fraction) != 3:
                    return True
                other = f"{whole}{fraction} (a comma between thousands)"
            doubtful = doubtful or (
                f"{place}: {name} is {text!r}, which may be {whole}.{fraction} (a decimal comma) or {other}, and "
                f"nothing in the table tells which; write it in one of these ways"
            )
    if doubtful is not None:
        raise InvalidInputError(doubtful)
    return False


def with_point(text: str) -> str:
    """Return a number with a decimal comma as one with a point; any other text as it is."""
    return text.replace(",", ".") if _COMMA.fullmatch(text) else text
