"""One group of faces or two: how many, what they are like, and their mean."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import streamlit as st

from fsanalysis.composite.captioned import cohort_lines, model_line, panels, with_caption
from fsanalysis.composite.cohort import COHORT_COLUMNS, Cohort
from fsanalysis.composite.mean_face import difference, mean_of
from fsanalysis.composite.preparation import MIN_FACES, PER_PHOTO, Preparation
from fsanalysis.dashboard.faces.face_table import HEAD_CLASSES, Rows, as_floats
from fsanalysis.dashboard.opened import OpenedResults, opened_results
from fsanalysis.dashboard.views.selection import chosen_rows, where_input
from fsanalysis.dashboard.widgets.plain_words import plain
from fsengine.errors import InvalidInputError

_AT_FIRST = 200
"""Faces of a mean that is shown while the user waits; all are averaged on request."""
_PLACES = ("face_index", "width", "height", "x0", "y0", "x1", "y1")
_SEED = 20

Group = tuple[Rows, str]


def show() -> None:
    """Show the page."""
    opened = opened_results()
    st.title("Groups")
    if not opened.table.num_faces:
        st.info("There are no faces in these results.")
        return
    left, right = st.columns(2)
    with left:
        st.subheader("A")
        groups: list[Group] = [chosen_rows(opened, "group_a")]
    with right:
        st.subheader("B")
        other = where_input(opened, "group_b", label="compared with faces where (may stay empty)")
        if other is not None:
            groups.append((opened.table.find(other), other))
    st.table(_compared(opened, groups))
    per_photo = st.number_input("Faces of one photo that count", 1, 1000, PER_PHOTO, key="groups_per_photo")
    mask = st.checkbox("Show the face alone, in an oval", key="groups_mask")
    every = st.checkbox(f"Average every face, not a sample of {_AT_FIRST}", key="groups_every")
    if not st.button("Average the faces", key="groups_average", type="primary"):
        st.caption(
            f"{MIN_FACES} faces or more: a mean of few shows persons. Two groups are averaged in one frame, and their "
            "difference is shown."
        )
        return
    try:
        picture = _averaged(opened, groups, per_photo=per_photo, mask=mask, every=every)
    except InvalidInputError as exc:
        st.error(plain(exc))
        return
    st.image(picture)
    st.download_button("As PNG", picture, "mean.png", "image/png", key="groups_png")


def _compared(opened: OpenedResults, groups: list[Group]) -> pd.DataFrame:
    """Return a column for each group: how many, the mean of each number, the share of each class."""
    columns = {}
    for letter, (rows, told) in zip("AB", groups, strict=False):
        lines = {"faces": f"{len(rows):,}"}
        found = opened.table.take(rows, [*opened.table.numbers(), *_few(opened)])
        for name in opened.table.numbers():
            values = as_floats(found[name])
            if name not in _PLACES and np.isfinite(values).any():
                lines[f"{name}, mean"] = f"{np.nanmean(values):.3g}"
        for name in _few(opened):
            shares = pd.Series(found[name].to_pylist()).value_counts(normalize=True)
            lines.update({f"{name}: {value}": f"{100 * share:.0f} %" for value, share in shares.items()})
        columns[plain(f"{letter}: {told}")] = {plain(name): value for name, value in lines.items()}
    return pd.DataFrame(columns).fillna("0 %")


def _few(opened: OpenedResults) -> list[str]:
    return [name for name in HEAD_CLASSES if name in opened.table.schema.names]


def _averaged(opened: OpenedResults, groups: list[Group], *, per_photo: int, mask: bool, every: bool) -> bytes:
    """Return the means of groups as a PNG with its caption."""
    drawn = [rows if every else _sample(rows) for rows, _ in groups]
    cohorts = [
        Cohort.of_faces(opened.results, told, opened.table.take(rows, COHORT_COLUMNS), per_photo=per_photo)
        for rows, (_, told) in zip(drawn, groups, strict=True)
    ]
    total = 2 * sum(map(len, drawn))
    bar = st.progress(0.0, "averaging faces")
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done % 10 == 0:
            bar.progress(min(1.0, done / total), f"averaging faces: {done:,} looked at")

    try:
        prepared = Preparation(opened.results, cohorts, on_face=advance)
        made = [mean_of(prepared, cohort, mask=mask, on_face=advance) for cohort in cohorts]
    finally:
        bar.empty()
    pictures, titles = [found.picture for found in made], [f"n = {found.num_used}" for found in made]
    if len(made) == 2:
        pictures.append(difference(*made))
        titles = [f"A, {titles[0]}", f"B, {titles[1]}", "B less A, twice as large; grey: the same"]
    lines = []
    for letter, found, rows, (whole, _) in zip("AB", made, drawn, groups, strict=False):
        said = cohort_lines(found.where, found.num_found, found.num_used, found.left_out)
        sampled = f" (a sample of {len(rows):,} of {len(whole):,})" if len(rows) < len(whole) else ""
        lines += [f"{letter}: {said[0]}{sampled}", *said[1:]]
    lines.append(model_line(opened.results.info))
    written = io.BytesIO()
    with_caption(panels([pictures], [titles]), lines).save(written, "PNG")
    return written.getvalue()


def _sample(rows: Rows) -> Rows:
    if len(rows) <= _AT_FIRST:
        return rows
    return np.sort(np.random.default_rng(_SEED).choice(rows, _AT_FIRST, replace=False))
