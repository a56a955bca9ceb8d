"""The script that Streamlit runs for each session: the pages, and what stands beside all of them."""

from __future__ import annotations

import streamlit as st

from fsanalysis.dashboard.opened import opened_results
from fsanalysis.dashboard.views import (
    distributions,
    face_list,
    map_page,
    models,
    one_photo,
    overview,
    photo_duplicates,
    two_groups,
)
from fsanalysis.dashboard.views.selection import clear_selection, selection
from fsanalysis.dashboard.widgets.plain_words import plain
from fsengine.contracts.served import marks_text

# As a picture of our own: a named icon would be fetched from a host on the internet.
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="#0072B2"/>'
    '<circle cx="11" cy="13" r="2" fill="#fff"/><circle cx="21" cy="13" r="2" fill="#fff"/>'
    '<path d="M9 20q7 7 14 0" fill="none" stroke="#fff" stroke-width="2"/></svg>'
)

st.set_page_config(page_title="FaceStats", page_icon=_ICON, layout="wide")
faces_page = st.Page(face_list.show, title="Faces", icon=":material/grid_view:", url_path="faces")
st.session_state["faces_page"] = faces_page
page = st.navigation(
    [
        st.Page(overview.show, title="Overview", icon=":material/summarize:", url_path="overview", default=True),
        st.Page(distributions.show, title="Distributions", icon=":material/bar_chart:", url_path="distributions"),
        faces_page,
        st.Page(map_page.show, title="Map", icon=":material/scatter_plot:", url_path="map"),
        st.Page(two_groups.show, title="Groups", icon=":material/groups:", url_path="groups"),
        st.Page(photo_duplicates.show, title="Near duplicates", icon=":material/content_copy:", url_path="duplicates"),
        st.Page(one_photo.show, title="One photo", icon=":material/add_a_photo:", url_path="photo"),
        st.Page(models.show, title="Models", icon=":material/model_training:", url_path="models"),
    ]
)
opened = opened_results()
with st.sidebar:
    st.caption(plain(opened.results.folder.absolute().name))
    info = opened.results.info.models
    st.caption(plain(f"pack {info.pack}, model set {info.model_set_id}"))
    if marks := marks_text(info.marks):
        st.warning(plain(f"marked: {marks}"), icon=":material/warning:")
    if (chosen := selection()) is not None:
        st.info(plain(f"selection: {len(chosen.rows):,} faces, {chosen.label}"))
        st.button("Clear the selection", on_click=clear_selection, key="clear_selection")
page.run()
