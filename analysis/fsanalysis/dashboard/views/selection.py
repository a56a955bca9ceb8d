"""The faces that the user chose: kept for the session, the same on every page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from fsanalysis.dashboard.faces.face_table import Rows
from fsanalysis.dashboard.opened import OpenedResults
from fsanalysis.dashboard.widgets.plain_words import plain
from fsengine.errors import InvalidInputError

_KEY = "selection"
_EXAMPLE = "gender = 'female' AND age_years BETWEEN 20 AND 40"


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Faces that were chosen.

    Attributes:
        rows: Their numbers, rising.
        label: How they were chosen.
    """

    rows: Rows
    label: str


def selection() -> Selection | None:
    """Return what is chosen; None for nothing."""
    found: Selection | None = st.session_state.get(_KEY)
    return found


def choose(rows: Rows, label: str) -> None:
    """Make faces the selection."""
    st.session_state[_KEY] = Selection(np.unique(rows), label)


def clear_selection() -> None:
    """Choose nothing."""
    st.session_state.pop(_KEY, None)


def where_input(opened: OpenedResults, key: str, *, label: str = "Faces where", value: str = "") -> str | None:
    """Ask for an expression, and say what is wrong with it; a wrong one stops the page.

    Returns:
        It; None where the field is empty.
    """
    text = st.text_input(label, value, key=key, placeholder=f"all faces; for example {_EXAMPLE}").strip()
    if not text:
        return None
    try:
        opened.table.find(text)
    except InvalidInputError as exc:
        st.error(plain(exc))
        st.caption("Columns: " + ", ".join(opened.table.schema.names))
        st.stop()
    return text


def chosen_rows(opened: OpenedResults, key: str) -> tuple[Rows, str]:
    """Ask for the selection or an expression.

    Returns:
        The faces, and in words which they are.
    """
    chosen = selection()
    if chosen is not None:
        way = st.radio("Faces", ["selection", "query"], key=f"{key}_chosen", horizontal=True)
        if way == "selection":
            return chosen.rows, chosen.label
    where = where_input(opened, f"{key}_where")
    return opened.table.find(where), where or "all faces"
