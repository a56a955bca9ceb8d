"""What there is: what it was made with, photos by status, and those that failed."""

from __future__ import annotations

import streamlit as st

from fsanalysis.dashboard.opened import opened_results
from fsanalysis.dashboard.widgets.plain_words import plain
from fsdata.results.status import SCORED

_MOST_FAILURES = 2000


def show() -> None:
    """Show the page."""
    opened = opened_results()
    table, results = opened.table, opened.results
    st.title("Overview")
    photos, faces, crops = st.columns(3)
    photos.metric("Photos", f"{table.num_photos:,}")
    faces.metric("Faces", f"{table.num_faces:,}")
    crops.metric("Crops kept", f"{opened.num_crops:,}", help="made by `fsclient crops`; others are cut when shown")
    if opened.num_crops < table.num_faces:
        st.caption(
            "`fsclient crops DIR` keeps a crop of each face beside the results: faces then show at "
            "once, and also where their photos are gone."
        )
    st.subheader("What it was made with")
    models = results.info.models
    for mark, steps in sorted(models.marks.items()):
        st.warning(plain(f"{mark}: {', '.join(steps)}"), icon=":material/warning:")
    made_with = {
        "pack": models.pack,
        "model set": models.model_set_id,
        **{f"model of {step}": name for step, name in sorted(models.models.items())},
        "licences": ", ".join(sorted(set(models.licences.values()))),
        "server": results.info.runtime,
        "embeddings": "stored" if results.has_embeddings else "not stored",
    }
    st.table({plain(name): plain(value) for name, value in made_with.items()})
    st.subheader("Photos by status")
    counted = table.query("SELECT status, count(*) AS photos FROM photos GROUP BY status ORDER BY photos DESC, status")
    st.dataframe(counted, hide_index=True, width="content")
    scored = [status.value for status in SCORED]
    reasons = table.query(
        "SELECT status, coalesce(reason, '') AS reason, count(*) AS photos FROM photos "
        "WHERE NOT list_contains(?, status) GROUP BY ALL ORDER BY photos DESC, status, reason",
        [scored],
    )
    if not reasons.num_rows:
        st.success("Every photo was scored.")
        return
    st.subheader("Photos that were not scored")
    st.dataframe(reasons, hide_index=True)
    failures = table.query(
        f"SELECT source, status, reason, bytes FROM photos WHERE NOT list_contains(?, status) LIMIT {_MOST_FAILURES}",
        [scored],
    )
    st.dataframe(failures, hide_index=True)
    number = sum(reasons["photos"].to_pylist())
    if number > _MOST_FAILURES:
        st.caption(f"the first {_MOST_FAILURES:,} of {number:,}; all: `fsclient table info DIR --failures`")
