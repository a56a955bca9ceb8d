"""Photos that are the same, or nearly: by their content, or by a perceptual hash of the picture."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from fsanalysis.dashboard.opened import OpenedResults, opened_results
from fsanalysis.dashboard.views.one_face import show_face
from fsanalysis.dashboard.widgets.face_grid import face_grid
from fsanalysis.dashboard.widgets.plain_words import plain
from fsdata.selection.photo_copies import DISTANCE, MOST_DISTANCE, find_copies, find_near_duplicates
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import printable

_GROUPS_SHOWN = 20
_PHOTOS_SHOWN = 16


def show() -> None:
    """Show the page."""
    opened = opened_results()
    st.title("Near duplicates")
    left, right = st.columns(2)
    way = left.radio("Photos with", ["the same bytes", "nearly the same look"], horizontal=True, key="duplicates_way")
    if way == "the same bytes":
        found = _copies(opened)
    else:
        distance = right.slider("Bits of 64 that may differ", 0, MOST_DISTANCE, DISTANCE, key="duplicates_distance")
        try:
            found = _near(opened, distance)
        except InvalidInputError as exc:
            st.info(plain(exc))
            return
        st.caption(
            "Whole photos are compared, by a perceptual hash; faces are not: two photos of one person are no "
            "duplicates. Photos without a face have no hash."
        )
    groups = found["group"].to_pylist()
    if not groups:
        st.success("There are none.")
        return
    number = groups[-1] + 1
    st.subheader(f"{number:,} groups of {len(groups):,} photos")
    pages = -(-number // _GROUPS_SHOWN)
    page = int(st.number_input(f"Page, of {pages:,}", 1, pages, 1, key=f"duplicates_page_{way}"))
    for group in range((page - 1) * _GROUPS_SHOWN, min(number, page * _GROUPS_SHOWN)):
        _show_group(opened, group, found.filter(pc.equal(found["group"], group)).to_pylist())


def _show_group(opened: OpenedResults, group: int, photos: list[dict[str, object]]) -> None:
    st.markdown(f"**{len(photos)} photos**")
    shown = photos[:_PHOTOS_SHOWN]
    first = opened.table.query(
        "SELECT source, min(face_row) AS face_row FROM faces WHERE list_contains(?, source) GROUP BY source",
        [[photo["source"] for photo in shown]],
    )
    rows = dict(zip(first["source"].to_pylist(), first["face_row"].to_pylist(), strict=True))
    there = [photo for photo in shown if photo["source"] in rows]
    if there:
        captions = [_caption(photo) for photo in there]
        answer = face_grid([rows[photo["source"]] for photo in there], captions, size_px=112, key=f"duplicates_{group}")
        if answer.opened is not None:
            show_face(opened, int(answer.opened))
    for photo in shown:
        if photo["source"] not in rows:
            st.caption(plain(f"without a face: {photo['source']}"))
    if len(photos) > len(shown):
        st.caption(f"and {len(photos) - len(shown):,} more: `fsclient table duplicates`")


def _caption(photo: dict[str, object]) -> str:
    name = printable(str(photo["source"]).rpartition("/")[2])
    return f"{name}, {photo['distance']} bits" if photo["distance"] else name


@st.cache_data(show_spinner="looking for copies")
def _copies(_opened: OpenedResults) -> pa.Table:
    return find_copies(_opened.results)


@st.cache_data(show_spinner="comparing photos")
def _near(_opened: OpenedResults, distance: int) -> pa.Table:
    return find_near_duplicates(_opened.results, distance)
