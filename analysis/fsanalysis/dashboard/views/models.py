"""Cards and learning curves of trained heads, as their training wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from fsanalysis.dashboard.opened import opened_results
from fsanalysis.dashboard.widgets.plain_words import plain
from fsdata.pictures.chart_style import COLOURS, drawn_chart
from fsengine.errors import InvalidInputError
from fsengine.files.regular_file import open_regular

_MOST_BYTES = 16 << 20


def show() -> None:
    """Show the page."""
    opened = opened_results()
    st.title("Models")
    models = opened.results.info.models
    st.subheader("Of these results")
    st.table({plain(step): plain(name) for step, name in sorted(models.models.items())})
    if not opened.choice.artifacts:
        st.info("Heads that were trained with `fstrain` are shown here: `fsclient dashboard DIR --artifact PATH`")
    for folder in opened.choice.artifacts:
        st.subheader(plain(folder.name))
        try:
            _show_artifact(folder)
        except InvalidInputError as exc:
            st.error(plain(exc))
        except (AttributeError, LookupError, TypeError, ValueError) as exc:  # a report may hold anything
            st.error(plain(f"{folder} has a report that is not as `fstrain` writes it: {exc}; train the head again"))


def _show_artifact(folder: Path) -> None:
    report = read_report(folder)
    figures = report["figures"]
    st.dataframe(_figures(figures, report.get("chance", {})), hide_index=True)
    for name, curve in report.get("curves", {}).items():
        _show_curve(name, curve, str(next(iter(report.get("leading", ())), "figure")).replace("_", " "))
    card = folder / "report" / "card.md"
    if card.is_file():
        with st.expander("Model card"), open_regular(card) as file:
            st.markdown(file.read(_MOST_BYTES).decode("utf-8", "replace"))


def read_report(folder: Path) -> Mapping[str, Any]:
    """Read the report of a trained head.

    Raises:
        InvalidInputError: There is none, or it is damaged.
    """
    path = folder / "report" / "report.json"
    try:
        with open_regular(path) as file:
            found = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError as exc:
        raise InvalidInputError(f"{folder} has no report/report.json; expected the --out of `fstrain`") from exc
    except (OSError, ValueError, RecursionError) as exc:
        raise InvalidInputError(f"{path} cannot be read: {exc}; expected what `fstrain` wrote") from exc
    if not isinstance(found, dict) or not isinstance(found.get("figures"), dict):
        raise InvalidInputError(f"{path} has no figures; expected what `fstrain` wrote")
    return found


def _figures(figures: Mapping[str, Any], chance: Mapping[str, Any]) -> pd.DataFrame:
    lines = []
    for name, figure in figures.items():
        if isinstance(figure, dict) and "value" in figure:
            low, high = figure.get("interval", (None, None))
            lines.append(
                {
                    "figure": name.replace("_", " "),
                    "value": figure["value"],
                    "95 % interval": "" if low is None else f"{low:.3g} to {high:.3g}",
                    "faces": figure.get("n"),
                    "best constant answer": chance.get(name),
                }
            )
    return pd.DataFrame(lines)


def _show_curve(name: str, curve: Any, leading: str) -> None:
    """Draw lists of numbers by name: together over the steps of training, or each over `sizes`."""
    numbers = {key: values for key, values in curve.items() if _is_line(values)} if isinstance(curve, dict) else {}
    sizes = numbers.pop("sizes", None)
    together = sizes is None or numbers.keys() <= {"train", "kept out"}
    drawn = [numbers] if together else [{key: values} for key, values in sorted(numbers.items())]
    for lines in filter(None, drawn):
        with drawn_chart(width=7, height=3) as chart:
            for colour, (key, values) in zip(COLOURS, sorted(lines.items()), strict=False):
                over = sizes if sizes is not None and len(sizes) == len(values) else range(1, len(values) + 1)
                chart.axes.plot(over, values, color=colour, label=key, marker=None if sizes is None else "o")
            quantity = "loss" if sizes is None else leading if together else next(iter(lines))
            chart.axes.set(xlabel=name if sizes is None else "faces trained on", ylabel=quantity)
            if len(lines) > 1:
                chart.axes.legend()
        st.image(chart.svg)


def _is_line(values: Any) -> bool:
    return (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and len(values) > 1
        and all(isinstance(value, int | float) for value in values)
    )
