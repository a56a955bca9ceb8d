"""The figures of the `demo` pack's heads, and its card: what it is made of, what was measured, what it is not for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.packs.pack import Pack
from fstraining.evaluate.figures import constant_error, constant_share, mean_with_interval, share_with_interval

CARD_FILE = "CARD.md"


def head_figures(
    *,
    genders: NDArray[np.int64],
    predicted_genders: NDArray[np.int64],
    ethnicities: NDArray[np.int64],
    predicted_ethnicities: NDArray[np.int64],
    years: NDArray[np.float64],
    predicted_years: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the figures of all heads on crops kept out of fitting, with 95 % intervals.

    Each array is (N,), labels beside predictions; `chance` is the best constant answer on the same crops.
    """
    return {
        "gender_accuracy": {
            **share_with_interval(genders == predicted_genders),
            "chance": constant_share(genders, 3),
        },
        "ethnicity_accuracy": {
            **share_with_interval(ethnicities == predicted_ethnicities),
            "chance": constant_share(ethnicities, 3),
        },
        "age_mean_absolute_error_years": {
            **mean_with_interval(np.abs(years - predicted_years)),
            "chance": constant_error(years, 2),
        },
    }


def card_text(pack: Pack, figures: dict[str, Any]) -> str:
    """Return the card in Markdown.

    Args:
        pack: The finished pack.
        figures: What `head_figures` measured, and the rest of the pack's `figures.json`.
    """
    lines = [
        f"# The {pack.name} pack",
        "",
        "A demonstration: it shows the whole path on any machine. Its heads are weak and its results are marked",
        f'"demonstration" wherever they are shown. Model set `{pack.served().model_set_id}`.',
        "",
        "## Models",
        "",
        "| step | source | licence |",
        "|---|---|---|",
        *(f"| {step} | {model.source} | {model.licence} |" for step, model in pack.models.items()),
        "",
        "There is no attractiveness head: no labels for one can be had under a licence that allows it.",
        "",
        "## Figures",
        "",
        f"{figures['data']}; fitted on {figures['fitted_on']} crops, temperature of the ethnicity head "
        f"{figures['temperature']}.",
        "",
        "| figure | crops | value | 95 % interval | best constant answer |",
        "|---|---|---|---|---|",
    ]
    for name, figure in figures.items():
        if isinstance(figure, dict):
            low, high = figure["interval"]
            title = name.replace("_", " ")
            lines.append(f"| {title} | {figure['n']} | {figure['value']} | {low} to {high} | {figure['chance']} |")
    lines += [
        "",
        "## Limits",
        "",
        "Gender is one of two labels as FairFace's annotators saw it, ethnicity one of seven, age the middle of a",
        "bucket; none of them says how a person sees themselves. With errors as large as these no answer about a",
        "single face means anything: decide nothing about anyone with them. The embedding describes how a face looks",
        "and does not recognise people.",
        "",
    ]
    return "\n".join(lines)
