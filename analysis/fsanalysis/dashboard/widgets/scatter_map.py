"""A map of faces in WebGL: zoom, a thumbnail under the pointer, a lasso."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsanalysis.dashboard.routes import PREFIX

_SCRIPT = (Path(__file__).parent / "scatter_map.js").read_text(encoding="utf-8")
_STYLE = (Path(__file__).parent / "scatter_map.css").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """What was done on a map.

    Attributes:
        lasso: Corners of the lasso that was drawn last, [x, y] in places of the map; None for none.
        opened: The face that was clicked just now; None for none.
    """

    lasso: list[list[float]] | None
    opened: int | None


def packed_points(rows: NDArray[np.int64], places: NDArray[np.float32], values: NDArray[np.float32]) -> bytes:
    """Return points as the map reads them: little-endian, their number, then rows, x, y and values one after the other.

    Args:
        rows: Numbers of faces, (N,).
        places: (N, 2).
        values: What they are coloured by, (N,): the number of a class, or 0 to 1.
    """
    columns = (
        np.array([len(rows)], "<u4"),
        rows.astype("<u4"),
        places[:, 0].astype("<f4"),
        places[:, 1].astype("<f4"),
        values.astype("<f4"),
    )
    return b"".join(column.tobytes() for column in columns)


def points_key(*parts: Any) -> str:
    """Return the key under which a map is asked for: it depends on all that the points depend on."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def inside(places: NDArray[np.float32], corners: Sequence[Sequence[float]]) -> NDArray[np.bool_]:
    """Return which places (N, 2) lie within a polygon."""
    from matplotlib.path import Path as Polygon

    outline = np.asarray(corners, np.float64)
    found = np.zeros(len(places), bool)
    if len(outline) < 3:
        return found
    near = np.flatnonzero(((places >= outline.min(axis=0)) & (places <= outline.max(axis=0))).all(axis=1))
    found[near] = Polygon(outline).contains_points(places[near])
    return found


def scatter_map(
    key: str, colours: Sequence[str], legend: Mapping[str, Any], *, height_px: int, widget: str
) -> MapAnswer:
    """Show a map.

    Args:
        key: Of the points; see `OpenedResults.map`.
        colours: Hex colours, one a class, or the steps of a scale.
        legend: What they mean: `title`, and `labels` with `counts`, or `low` and `high`.
        height_px: Of the map.
        widget: Key of the widget.
    """
    import streamlit as st

    shown = st.components.v2.component("facestats_scatter_map", js=_SCRIPT, css=_STYLE)
    answer = shown(
        key=widget,
        data={"key": key, "prefix": PREFIX, "colours": list(colours), "legend": dict(legend), "height": height_px},
        default={"lasso": None},
        on_lasso_change=lambda: None,
        on_opened_change=lambda: None,
    )
    lasso = answer.lasso if answer.lasso and answer.lasso.get("key") == key else None
    return MapAnswer(lasso=lasso["corners"] if lasso else None, opened=answer.opened)
