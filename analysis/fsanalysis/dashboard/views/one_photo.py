"""A photo of the user's: its faces, what the results' own models say of them, and their place among the results."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fsanalysis.dashboard.faces.face_table import FaceTable, as_floats
from fsanalysis.dashboard.opened import OpenedResults, opened_results
from fsanalysis.dashboard.widgets.plain_words import plain
from fsclient.client import Client
from fsclient.score.answer_text import face_values
from fsclient.score.answers import Face, ScoredPhoto
from fsdata.results.status import Status
from fsengine.errors import FaceStatsError, InvalidInputError
from fsengine.photo.convert import read_pixels
from fsengine.terminal.messages import counted

_RANKED = ("score", "age_years", "attractiveness")


def show() -> None:
    """Show the page."""
    opened = opened_results()
    st.title("One photo")
    wanted = opened.results.info.models
    st.caption(
        f"Scored by the models that these results were made with (pack {plain(wanted.pack)}, model set "
        f"{plain(wanted.model_set_id)}); the photo stays on this machine and is kept nowhere. It is compared with "
        "distributions alone: no face is searched for."
    )
    given = st.file_uploader("Photo", type=None, key="photo")
    if given is None:
        return
    data = given.getvalue()
    try:
        with st.spinner("scoring (the first photo starts a server)"):
            scored = _client(opened).score(data)
    except FaceStatsError as exc:
        st.error(plain(exc))
        return
    if scored.status not in (Status.OK, Status.NO_FACE):
        st.error(plain(f"{scored.status.value}: {scored.reason}"))
        return
    st.image(
        _annotated(data, scored), caption=f"{scored.width} x {scored.height} px, {counted(len(scored.faces), 'face')}"
    )
    if scored.faces_truncated:
        st.warning("there are more faces than the models look for")
    for number, face in enumerate(scored.faces, start=1):
        st.subheader(f"Face {number}")
        st.write(plain("; ".join([f"score {face.score:.2f}", *face_values(face)])))
        st.dataframe(_ranked(opened.table, face), hide_index=True)


@st.cache_resource(show_spinner=False)
def _client(_opened: OpenedResults) -> Client:
    """Return a client of a server with the results' own models; it is started once, and stopped with the dashboard.

    Raises:
        InvalidInputError: What is served are other models.
    """
    wanted = _opened.results.info.models
    choice = _opened.choice.server
    client = Client(choice)
    try:
        served = client.served()
    except FaceStatsError:
        client.close()
        raise
    if served.model_set_id != wanted.model_set_id:
        client.close()
        raise InvalidInputError(
            f"the models here are the set {served.model_set_id} of the pack {served.pack}, and these results are of "
            f"{wanted.model_set_id} of the pack {wanted.pack}: their numbers do not compare; start the dashboard with "
            "--models or --server and those models"
        )
    return client


def _annotated(data: bytes, scored: ScoredPhoto) -> bytes:
    """Return the photo with numbered boxes, as JPEG of at most 1280 px."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(read_pixels(data))
    scale = min(1.0, 1280 / max(image.size))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(20)
    for number, face in enumerate(scored.faces, start=1):
        x0, y0, x1, y1 = (side * scale for side in face.box)
        draw.rectangle((x0, y0, x1, y1), outline="black", width=5)
        draw.rectangle((x0 + 1, y0 + 1, x1 - 1, y1 - 1), outline="#56B4E9", width=3)
        draw.text((x0 + 6, y0 + 3), str(number), "white", font, stroke_width=2, stroke_fill="black")
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88)
    return written.getvalue()


def _ranked(table: FaceTable, face: Face) -> pd.DataFrame:
    """Return each number of a face with its percentile among the results."""
    lines: list[dict[str, Any]] = []
    for name in _RANKED:
        value = getattr(face, name)
        if value is None or name not in table.schema.names:
            continue
        values = as_floats(table.values(name))
        values = values[np.isfinite(values)]
        if len(values):
            below = 100 * float((values <= value).mean())
            lines.append({"": name, "value": float(value), "percentile among these results": round(below, 1)})
    return pd.DataFrame(lines)
