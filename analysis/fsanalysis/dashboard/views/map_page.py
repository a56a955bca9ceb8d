"""All faces as points, alike ones near each other: coloured by any column, chosen by a lasso."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import streamlit as st
from numpy.typing import NDArray

from fsanalysis.dashboard.faces.face_table import Rows, as_floats
from fsanalysis.dashboard.faces.map_places import METHODS, MapPlaces, umap_installed
from fsanalysis.dashboard.opened import DrawnMap, OpenedResults, opened_results
from fsanalysis.dashboard.views.one_face import show_face
from fsanalysis.dashboard.views.selection import choose, selection, where_input
from fsanalysis.dashboard.widgets.face_grid import face_grid
from fsanalysis.dashboard.widgets.plain_words import plain
from fsanalysis.dashboard.widgets.scatter_map import inside, packed_points, points_key, scatter_map
from fsdata.pictures.chart_style import COLOURS, GREY

_HEIGHT_PX = 560
_DRAWN = 200_000
"""Faces that are drawn unless all are asked for: more take seconds a picture in software, without a GPU."""
_SEED = 20
_MOST_CLASSES = 10
_SHOWN = 48
_MOST_EXPORTED = 200_000


def show() -> None:
    """Show the page."""
    opened = opened_results()
    st.title("Map")
    if not opened.results.has_embeddings:
        st.info("These results hold no embeddings, so there is no map (`fsclient ingest --no-embedding`).")
        return
    if opened.table.num_faces < 3:
        st.info(f"A map needs three faces or more; here are {opened.table.num_faces}.")
        return
    method_box, colour_box = st.columns(2)
    methods = METHODS if umap_installed() else METHODS[:1]
    method = method_box.selectbox("Method", methods, key="map_method")
    numbers = opened.table.numbers()
    classes = opened.table.classes()
    colour = colour_box.selectbox("Colour", [*classes, *numbers], key="map_colour")
    where = where_input(opened, "map_where")
    places = _places(opened, method)
    rows = opened.table.find(where)
    if not len(rows):
        st.info("No face is selected.")
        return
    every = len(rows) <= _DRAWN or st.checkbox(
        f"Draw every face, not a sample of {_DRAWN:,}: slow without a GPU; the lasso takes all either way",
        key="map_every",
    )
    key = points_key(method, colour, where, every)

    def draw() -> DrawnMap:
        values, colours, legend = _coloured(opened, rows, colour, colour in numbers)
        drawn = np.arange(len(rows)) if every else _sample(len(rows))
        points = packed_points(rows[drawn], places.places[rows[drawn]], values[drawn])
        return DrawnMap(points=points, colours=tuple(colours), legend=legend)

    made = opened.map(key, draw)
    answer = scatter_map(key, made.colours, made.legend, height_px=_HEIGHT_PX, widget="map")
    st.caption(
        f"{places.about}. Wheel: zoom; drag: move; Lasso, or Shift and drag: select; click a point: its photo."
        + ("" if umap_installed() else " UMAP: `pip install 'facestats[map]'`.")
    )
    if answer.opened is not None:
        show_face(opened, int(answer.opened))
    if answer.lasso is not None and answer.lasso != st.session_state.get("map_lasso"):
        st.session_state["map_lasso"] = answer.lasso
        choose(rows[inside(places.places[rows], answer.lasso)], f"a lasso on the map ({method})")
        st.rerun()
    _show_selection(opened)


def _sample(number: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(_SEED).choice(number, _DRAWN, replace=False))


def _places(opened: OpenedResults, method: str) -> MapPlaces:
    passes = 2 if method == "PCA" else 3
    bar = st.progress(0.0, f"placing {opened.table.num_faces:,} faces by {method}")
    done = 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        bar.progress(min(1.0, done / (passes * opened.table.num_faces)), f"placing faces by {method}")

    try:
        return opened.places(method, advance)
    finally:
        bar.empty()


def _coloured(
    opened: OpenedResults, rows: Rows, column: str, is_number: bool
) -> tuple[NDArray[np.float32], Sequence[str], dict[str, Any]]:
    """Return a value per face, the colours of values, and the legend."""
    found = opened.table.values(column)
    if is_number:
        numbers = as_floats(found)[rows]
        there = numbers[np.isfinite(numbers)]
        least, most = (float(there.min()), float(there.max())) if len(there) else (0.0, 1.0)
        scaled = np.nan_to_num((numbers - least) / max(most - least, 1e-9), nan=0.0)
        legend = {"title": column, "low": f"{least:.3g}", "high": f"{most:.3g}", "least": least, "most": most}
        return scaled.astype(np.float32), _scale(), legend
    words = pd.Series(found.to_pandas()).fillna("missing").astype(str).iloc[rows]
    counts = words.value_counts()
    names = counts.index[:_MOST_CLASSES].tolist()
    numbered = {name: number for number, name in enumerate(names)}
    values = words.map(numbered).fillna(len(names)).to_numpy(np.float32)
    others = len(words) - int(counts.iloc[:_MOST_CLASSES].sum())
    labels = [*names, *(["others"] if others else [])]
    colours = [*(*COLOURS, "#8B5A2B", "#4B0082")[: len(names)], *([GREY] if others else [])]
    totals = [*(int(counts[name]) for name in names), *([others] if others else [])]
    return values, colours, {"title": column, "labels": labels, "counts": totals}


def _scale() -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["cividis"](place)) for place in np.linspace(0, 1, 32)]


def _show_selection(opened: OpenedResults) -> None:
    chosen = selection()
    if chosen is None:
        return
    st.subheader(plain(f"Selection: {len(chosen.rows):,} faces, {chosen.label}"))
    if not len(chosen.rows):
        st.info("The lasso holds no face.")
        return
    some = chosen.rows[:_SHOWN]
    answer = face_grid([int(row) for row in some], ["" for _ in some], size_px=64, key="map_grid")
    if answer.opened is not None:
        show_face(opened, int(answer.opened))
    if len(chosen.rows) > _SHOWN:
        st.caption(f"the first {_SHOWN}; all of them on the page Faces, their mean on the page Groups")
    export_selection(opened, chosen.rows)


def export_selection(opened: OpenedResults, rows: Rows) -> None:
    """Offer faces as files."""
    if len(rows) > _MOST_EXPORTED:
        st.caption(f"more than {_MOST_EXPORTED:,} faces: export them with `fsclient table export --where SQL`")
        return

    def csv() -> bytes:
        names = [field.name for field in opened.table.schema if not field.type.num_fields]
        text: str = opened.table.take(rows, names).to_pandas().to_csv(index=False)
        return text.encode()

    def parquet() -> bytes:
        written = io.BytesIO()
        pq.write_table(opened.table.take(rows), written)
        return written.getvalue()

    left, right, _ = st.columns([1, 1, 4])
    left.download_button("As CSV", csv, "faces.csv", "text/csv", key="export_csv")
    right.download_button("As Parquet", parquet, "faces.parquet", key="export_parquet")
