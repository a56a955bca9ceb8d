"""All that was measured and all that was not, as JSON and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fsengine.terminal.tables import Block, Table
from goals import Goal
from outcome import Outcome, Row, Status
from settings import Settings

CHECK_ALONE = "A check of this command on the CPU, and no measurement of a GPU."
NO_GPU = "There is no GPU here: nothing was measured on one."

_WIDTH = 100


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return 1 where nothing was measured, 3 where something broke or differs, else 0."""
    if not any(outcome.status is Status.MEASURED for outcome in outcomes):
        return 1
    return 3 if any(outcome.troubled for outcome in outcomes) else 0


def report_json(
    machine: Mapping[str, object], outcomes: Sequence[Outcome], goals: Sequence[Goal], settings: Settings
) -> dict[str, Any]:
    """Return the whole report."""
    return {
        "check_alone": settings.gpu is None,
        "machine": dict(machine),
        "models": settings.models,
        "server": settings.server,
        "seconds": settings.seconds,
        "photos": {
            "decoded": len(settings.samples.paths),
            "mean_megapixels": round(settings.samples.mean_megapixels, 3),
            "left_out": settings.samples.left_out,
        },
        "parts": [asdict(outcome) for outcome in outcomes],
        "goals": [asdict(goal) for goal in goals],
    }


def report_blocks(
    machine: Mapping[str, object], outcomes: Sequence[Outcome], goals: Sequence[Goal], settings: Settings
) -> list[Block]:
    """Return the report for people: machine, a table for each part, what was not run, goals."""
    samples = settings.samples
    facts = [(name, _cell(value)) for name, value in machine.items()]
    facts.append(("models", settings.models))
    facts.append(("photos", f"{len(samples.paths)} decode, {samples.mean_megapixels:.2f} MP each on average"))
    facts += [("", f"left out: {source}: {reason}") for source, reason in samples.left_out.items()]
    blocks: list[Block] = [_first_line(outcomes, settings), Table(rows=facts, align="ll")]
    for outcome in outcomes:
        if outcome.status is Status.MEASURED:
            blocks += ["", outcome.name, _table(outcome.rows), *outcome.notes]
    blocks += ["", *_not_run(outcomes), "", "goals"]
    for goal in goals:
        found = "" if goal.found is None else f" (found: {_cell(goal.found)})"
        blocks.append(f"  {goal.goal}: {goal.verdict}{': ' + goal.why if goal.why else ''}{found}")
    return blocks


def _first_line(outcomes: Sequence[Outcome], settings: Settings) -> str:
    if settings.gpu is None:
        return CHECK_ALONE
    if settings.gpu_name is None:
        return NO_GPU
    num_measured = sum(outcome.status is Status.MEASURED for outcome in outcomes)
    return f"{settings.gpu_name}: {num_measured} of {len(outcomes)} parts measured."


def _table(rows: Sequence[Row]) -> Table:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return Table(
        header=[column.replace("_per_s", "/s").replace("_", " ") for column in columns],
        rows=[[_cell(row.get(column)) for column in columns] for row in rows],
        align="l" + "r" * (len(columns) - 1),
    )


def _not_run(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the parts without a measurement, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status is not Status.MEASURED:
            reasons.setdefault(f"{outcome.status.value}: {outcome.reason}", []).append(outcome.name)
    if not reasons:
        return ["every part was run"]
    lines = ["not run"]
    for reason, names in reasons.items():
        lines += [*_wrapped(", ".join(names), 2), *_wrapped(reason, 4)]
    return lines


def _wrapped(text: str, indent: int) -> list[str]:
    # A part's name, or a path, stays whole.
    wrapper = textwrap.TextWrapper(_WIDTH, break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent = wrapper.subsequent_indent = " " * indent
    return wrapper.wrap(text)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float() if abs(value) >= 1000:
            return f"{value:,.0f}"
        case float() if abs(value) >= 1:
            return f"{value:.2f}"
        case float():
            return f"{value:.3g}"
        case dict():
            return ", ".join(f"{name} {_cell(item)}" for name, item in value.items())
        case _:
            return str(value)
