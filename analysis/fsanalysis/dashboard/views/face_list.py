"""The faces themselves: a dense grid, sorted by any number or by how alike they are."""

from __future__ import annotations

import numpy as np
import streamlit as st

from fsanalysis.dashboard.faces.face_table import Rows, as_floats
from fsanalysis.dashboard.opened import OpenedResults, opened_results
from fsanalysis.dashboard.views.one_face import SIMILAR_TO, show_face
from fsanalysis.dashboard.views.selection import choose, chosen_rows
from fsanalysis.dashboard.widgets.face_grid import face_grid
from fsanalysis.dashboard.widgets.plain_words import plain

_SIMILARITY = "similarity"


def show() -> None:
    """Show the page."""
    opened = opened_results()
    st.title("Faces")
    if not opened.table.num_faces:
        st.info("There are no faces in these results.")
        return
    rows, told = chosen_rows(opened, "faces")
    anchor: int | None = st.session_state.get(SIMILAR_TO)
    orders = [*([_SIMILARITY] if anchor is not None else []), *opened.table.numbers()]
    order_box, way_box, size_box, page_size_box = st.columns(4)
    if st.session_state.get("faces_order") not in orders:
        st.session_state["faces_order"] = "score"
    order = order_box.selectbox("Sort by", orders, key="faces_order")
    way = way_box.selectbox("Order", ["largest first", "smallest first"], key="faces_way")
    size = size_box.select_slider("Size", [64, 96, 128, 192, 224], value=96, key="faces_size")
    many = page_size_box.selectbox("Faces on a page", [60, 120, 240, 480], index=1, key="faces_many")
    if anchor is not None:
        _explain_anchor(opened, anchor)
    values = _values(opened, order, anchor)[rows]
    place = np.argsort(values if way == "smallest first" else -values, kind="stable")
    pages = max(1, -(-len(rows) // many))
    number = st.number_input(f"Page, of {pages:,}", 1, pages, 1, key=f"faces_page_{told}_{order}_{way}_{many}")
    here = place[(number - 1) * many : number * many]
    st.caption(
        plain(f"{len(rows):,} faces ({told}); sorted by {order}, {way}.")
        + " Click a face for its photo, tick to mark it."
    )
    captions = [f"{order} {value:.3g}" for value in values[here]]
    answer = face_grid([int(row) for row in rows[here]], captions, size_px=size, key="face_grid")
    if answer.marked and st.button(f"Make the {len(answer.marked)} marked faces the selection", key="choose_marked"):
        choose(np.array(answer.marked, np.int64), "marked by hand")
        st.rerun()
    if answer.opened is not None:
        show_face(opened, int(answer.opened))


def _explain_anchor(opened: OpenedResults, anchor: int) -> None:
    picture, text = st.columns([1, 7], vertical_alignment="center")
    crop = opened.crop(anchor)
    if isinstance(crop, bytes):
        picture.image(crop, width=80)
    text.caption(
        f"Similarity is the cosine of the embeddings with that of face {anchor}: 1 is the same picture. It says how "
        "alike two pictures are to the encoder, not that they show one person."
    )
    text.button("Forget it", key="forget_anchor", on_click=lambda: st.session_state.pop(SIMILAR_TO, None))


def _values(opened: OpenedResults, order: str, anchor: int | None) -> Rows:
    if order == _SIMILARITY and anchor is not None:
        with st.spinner("comparing embeddings"):
            return opened.similarities(anchor)  # type: ignore[return-value]
    return np.nan_to_num(as_floats(opened.table.values(order)), nan=-np.inf)
