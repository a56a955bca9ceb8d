"""What became of a part: measured, or why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from fsengine.errors import FaceStatsError, MissingDependencyError

Row = dict[str, str | int | float | bool | None]

FAILED = "failed"
"""Column of a row that could not be measured, with the reason, while other rows of its part could."""

WITHIN = "within"
"""Column that tells whether a difference is within its tolerance."""


class Status(str, Enum):
    """How a part ended.

    MEASURED: It has rows. SKIPPED: It was not asked for. ABSENT: The models have no such thing.
    MISSING: A library, a program or the GPU is not here. REFUSED: The project's code said why it cannot be run.
    FAILED: It broke.
    """

    MEASURED = "measured"
    SKIPPED = "skipped"
    ABSENT = "absent"
    MISSING = "missing"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One part's.

    Attributes:
        name: The part.
        status: How it ended.
        reason: Why it was not measured.
        rows: What was measured, a table; rows may lack columns of others.
        notes: What a reader must know of them.
    """

    name: str
    status: Status
    reason: str | None = None
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def troubled(self) -> bool:
        """Return whether it broke, in whole or in part, or differs where it must not."""
        broken = self.status in (Status.REFUSED, Status.FAILED)
        return broken or any(FAILED in row or row.get(WITHIN) is False for row in self.rows)


def measured(name: str, rows: list[Row], notes: list[str] | None = None) -> Outcome:
    """Return the outcome of rows; one of rows that all failed has failed."""
    if rows and all(FAILED in row for row in rows):
        return Outcome(name=name, status=Status.FAILED, reason=str(rows[0][FAILED]))
    return Outcome(name=name, status=Status.MEASURED, rows=rows, notes=notes or [])


def not_run(name: str, error: Exception) -> Outcome:
    """Return the outcome of a part that an error ended."""
    match error:
        case MissingDependencyError() | ImportError():
            status = Status.MISSING
        case FaceStatsError():
            status = Status.REFUSED
        case _:
            status = Status.FAILED
    return Outcome(name=name, status=status, reason=reason_of(error))


def reason_of(error: Exception) -> str:
    """Return an error's message on one line, with its kind where it is none of the project's."""
    text = " ".join(str(error).split())
    return text if isinstance(error, FaceStatsError) else f"{type(error).__name__}: {text}"


def attempt(name: str, measure: Callable[[], Outcome]) -> Outcome:
    """Measure a part, whatever happens."""
    try:
        return measure()
    except Exception as exc:  # noqa: BLE001 - the report says it, and the other parts are measured
        return not_run(name, exc)


def row_or_failure(row: Row, measure: Callable[[], Row]) -> Row:
    """Return a row with what is measured, or with why it could not be."""
    try:
        return row | measure()
    except Exception as exc:  # noqa: BLE001 - the report says it, and the other parts are measured
        return row | {FAILED: reason_of(exc)}
