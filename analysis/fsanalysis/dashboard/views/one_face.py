"""One face: it, its photo with the box drawn, and what the models say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fsanalysis.dashboard.opened import OpenedResults
from fsanalysis.dashboard.widgets.plain_words import plain
from fsengine.terminal.messages import printable

SIMILAR_TO = "similar_to"
"""Session key: the face that others are sorted by."""

_ELSEWHERE = ("source", "landmarks")


@st.dialog("Face", width="large")
def show_face(opened: OpenedResults, row: int) -> None:
    """Show a face over the page."""
    found = opened.table.take(np.array([row]))
    if not found.num_rows:
        st.error(f"there is no face {row}")
        return
    face: dict[str, Any] = found.to_pylist()[0]
    photo = opened.photo(row)
    left, right = st.columns([3, 2])
    with left:
        if isinstance(photo, bytes):
            st.image(photo)
        else:
            st.warning(plain(f"{photo}: it is shown only where it still is as it was scored"))
        st.caption(plain(face["source"]))
    with right:
        crop = opened.crop(row)
        if isinstance(crop, bytes):
            st.image(crop, width=160)
        st.dataframe(_described(face), hide_index=True, height=420)
    if opened.results.has_embeddings and st.button("Sort faces by similarity to this one", key="similar_button"):
        st.session_state[SIMILAR_TO] = row
        st.session_state["faces_order"] = "similarity"
        st.switch_page(st.session_state["faces_page"])


def _described(face: dict[str, Any]) -> pd.DataFrame:
    rows = [(name, _text(value)) for name, value in face.items() if name not in _ELSEWHERE and value is not None]
    return pd.DataFrame(rows, columns=["column", "value"])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))
