"""The card of the `lite` pack: what it is made of, what was measured, what it is not for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsengine.contracts.steps import AGE_GENDER, ETHNICITY
from fsengine.packs.pack import Pack
from fsengine.registry.model_source import read_registry
from fstraining.evaluate.training_report import REPORT_FOLDER

CARD_FILE = "CARD.md"

_SHOWN = {
    AGE_GENDER: ("gender_accuracy", "age_mean_absolute_error"),
    ETHNICITY: ("accuracy", "balanced_accuracy", "share_not_abstained", "accuracy_where_not_abstained"),
}
"""Figures of each head's report that the card repeats."""


def card_text(pack: Pack, heads: Mapping[str, Path]) -> str:
    """Return the card in Markdown.

    Args:
        pack: The finished pack.
        heads: Step to the folder that its training wrote.
    """
    paths = {step: folder / REPORT_FOLDER / "report.json" for step, folder in heads.items()}
    reports = {step: json.loads(path.read_text()) for step, path in paths.items()}
    lines = [
        f"# The {pack.name} pack",
        "",
        "**Its encoder recognises people: an embedding of it is a biometric template of the person.** Store embeddings",
        "only where that is wanted and allowed (docs/background/responsible-use.md); `--no-embedding` stores none, and",
        "every head works all the same.",
        "",
        "Small models under permissive licences, which run anywhere. There is no attractiveness head: no labels for",
        f"one can be had under a licence that allows it. Model set `{pack.served().model_set_id}`.",
        "",
        "## Models",
        "",
        "| step | source | licence |",
        "|---|---|---|",
        *(f"| {step} | {model.source} | {model.licence} |" for step, model in pack.models.items()),
        "",
        "What the weights were trained on, which may have terms of its own:",
        "",
        *_trained_on(pack),
        "",
        "## Figures",
        "",
        "On crops that no head was fitted on or chosen by, through the served graphs; every group's figures are in the",
        "card beside each head. The encoder's projection was fitted, without labels, on every fourth crop, some of",
        "these among them.",
        "",
        "| head | figure | n | value | 95 % interval | best constant answer |",
        "|---|---|---|---|---|---|",
        *(row for step, report in reports.items() for row in _figure_rows(step, report)),
        "",
        "## Limits",
        "",
        "Gender is one of two labels as FairFace's annotators saw it, ethnicity one of seven, age the mean of a",
        "bucket; none of them says how a person sees themselves. Gender always names the likelier class; ethnicity",
        f"none below a probability of {pack.thresholds.get('ethnicity', 0):g}. The genders of babies are little",
        "better than guessed, those of children right in about 70 %, ages are drawn to the middle, and errors are not",
        "the same in every group: see those tables.",
        "Decide nothing about anyone with them.",
        "",
    ]
    return "\n".join(lines)


def _trained_on(pack: Pack) -> list[str]:
    """Return what the table of sources says of the data behind the pack's weights, a line for each source."""
    hashes = {sha256 for model in pack.models.values() for sha256 in model.source_sha256.values()}
    known = [source for source in read_registry().values() if source.sha256 in hashes and source.task != "data"]
    return [f"- {source.about}: {source.trained_on}" for source in known if source.trained_on]


def _figure_rows(step: str, report: Mapping[str, Any]) -> list[str]:
    rows = []
    for name in _SHOWN[step]:
        figure = report["figures"][name]
        low, high = figure["interval"]
        chance = report["chance"].get(name, "")
        rows.append(
            f"| {step} | {name.replace('_', ' ')} | {figure['n']} | {figure['value']} | {low} to {high} | {chance} |"
        )
    return rows
