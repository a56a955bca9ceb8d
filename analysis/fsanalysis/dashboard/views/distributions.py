"""How a column is distributed, over all faces or those of a query, by the classes of another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import streamlit as st

from fsanalysis.dashboard.faces.face_table import as_floats
from fsanalysis.dashboard.opened import opened_results
from fsanalysis.dashboard.views.selection import chosen_rows
from fsanalysis.dashboard.widgets.plain_words import plain
from fsdata.pictures.chart_style import COLOURS, GREY, drawn_chart
from fsdata.results.schema import UNITS

_BINS = 30
_MOST_CLASSES = 20


def show() -> None:
    """Show the page."""
    opened = opened_results()
    table = opened.table
    st.title("Distributions")
    if not table.num_faces:
        st.info("There are no faces in these results.")
        return
    numbers, classes = table.numbers(), table.classes()
    left, right = st.columns(2)
    columns = sorted({*numbers, *classes})
    first = columns.index("age_years") if "age_years" in columns else columns.index("score")
    column = left.selectbox("Column", columns, index=first, key="distribution_column")
    split = right.selectbox("By", ["nothing", *(name for name in classes if name != column)], key="distribution_by")
    rows, told = chosen_rows(opened, "distribution")
    if not len(rows):
        st.info("No face is selected.")
        return
    found = table.take(rows, list(dict.fromkeys([column, *([] if split == "nothing" else [split])])))
    groups = np.full(len(rows), "all", object) if split == "nothing" else _words(found[split])
    st.subheader(plain(f"{column}, n = {len(rows):,} ({told})"))
    if column in numbers:
        _histogram(column, as_floats(found[column]), groups)
    else:
        _bars(column, _words(found[column]), groups)


def _histogram(column: str, values: np.ndarray, groups: np.ndarray) -> None:  # type: ignore[type-arg]
    there = np.isfinite(values)
    if missing := int((~there).sum()):
        st.caption(f"{missing:,} faces have no number here")
    if not there.any():
        st.info("No face has a number here.")
        return
    whole = bool((values[there] == np.round(values[there])).all()) and float(np.ptp(values[there])) < _BINS
    low, high = float(values[there].min()), float(values[there].max())
    edges = np.arange(low - 0.5, high + 1) if whole else np.linspace(low, high if high > low else low + 1, _BINS + 1)
    rows = []
    names = _largest(groups)
    with drawn_chart(width=8, height=3.4) as chart:
        for colour, name in zip((*COLOURS, *[GREY] * len(names)), names, strict=False):
            here = values[there & (groups == name)]
            counts, _ = np.histogram(here, edges)
            share = counts if len(names) == 1 else 100 * counts / max(len(here), 1)
            chart.axes.stairs(
                share, edges, color=colour, fill=len(names) == 1, linewidth=1.6, label=f"{name} (n = {len(here):,})"
            )
            if len(here):
                quarters = np.percentile(here, [5, 25, 50, 75, 95])
                rows.append((name, len(here), float(here.mean()), float(here.std()), *map(float, quarters)))
        chart.axes.set(
            xlabel=_with_unit(column), ylabel="faces" if len(names) == 1 else "per cent of the group", ylim=(0, None)
        )
        if len(names) > 1:
            chart.axes.legend()
    st.image(chart.svg)
    heads = ["group", "faces", "mean", "standard deviation", "5 %", "25 %", "median", "75 %", "95 %"]
    st.dataframe(pd.DataFrame(rows, columns=heads), hide_index=True)


def _with_unit(column: str) -> str:
    return f"{column}: {UNITS[column]}" if column in UNITS else column


def _bars(column: str, values: np.ndarray, groups: np.ndarray) -> None:  # type: ignore[type-arg]
    names, groups_shown = _largest(values), _largest(groups)
    counts = pd.crosstab(pd.Series(values, name=column), pd.Series(groups, name="group")).loc[names, groups_shown]
    shares = 100 * counts / counts.sum().clip(lower=1)
    with drawn_chart(width=8, height=1.2 + 0.3 * len(names) * max(1, len(groups_shown) / 2)) as chart:
        places = np.arange(len(names))
        thick = 0.8 / len(groups_shown)
        for number, name in enumerate(groups_shown):
            colour = (*COLOURS, *[GREY] * len(groups_shown))[number]
            label = f"{name} (n = {int(counts[name].sum()):,})"
            offset = (number - (len(groups_shown) - 1) / 2) * thick
            chart.axes.barh(places + offset, shares[name], height=thick, color=colour, label=label)
        chart.axes.set_yticks(places, [str(name) for name in names])
        chart.axes.invert_yaxis()
        chart.axes.set(xlabel="per cent of the faces" if len(groups_shown) == 1 else "per cent of the group")
        chart.axes.grid(False, axis="y")
        if len(groups_shown) > 1:
            chart.axes.legend()
    st.image(chart.svg)
    st.dataframe(counts)
    if left := len(set(values)) - len(names):
        st.caption(f"{left:,} rarer values are left out")


def _words(values: pa.ChunkedArray) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([("missing" if value is None else str(value)) for value in values.to_pylist()], object)


def _largest(values: np.ndarray) -> list[str]:  # type: ignore[type-arg]
    names: list[str] = pd.Series(values).value_counts().index[:_MOST_CLASSES].tolist()
    return names
