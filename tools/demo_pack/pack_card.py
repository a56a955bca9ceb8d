"""The card of the `demo` pack: what it is made of, what it was measured to do, what it is not for."""

from __future__ import annotations

from typing import Any

from fsengine.packs.pack import Pack

CARD_FILE = "CARD.md"


def card_text(pack: Pack, figures: dict[str, Any]) -> str:
    """Return the card in Markdown.

    Args:
        pack: The finished pack.
        figures: What `fsexport.demo_pack` measured.
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
