"""A dense grid of faces: click to open one, tick to mark it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsanalysis.dashboard.routes import PREFIX

_SCRIPT = (Path(__file__).parent / "face_grid.js").read_text(encoding="utf-8")
_STYLE = (Path(__file__).parent / "face_grid.css").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class GridAnswer:
    """What was done in a grid.

    Attributes:
        opened: The face that was clicked just now; None for none.
        marked: The faces that are ticked.
    """

    opened: int | None
    marked: tuple[int, ...]


def face_grid(rows: Sequence[int], captions: Sequence[str], *, size_px: int, key: str) -> GridAnswer:
    """Show faces.

    Args:
        rows: Their numbers.
        captions: A short text below each.
        size_px: Side of a face.
        key: Of the grid; marks are kept for one key.
    """
    import streamlit as st

    grid = st.components.v2.component("facestats_face_grid", js=_SCRIPT, css=_STYLE)
    faces: list[dict[str, Any]] = [
        {"row": row, "caption": caption} for row, caption in zip(rows, captions, strict=True)
    ]
    answer = grid(
        key=key,
        data={"faces": faces, "size": size_px, "prefix": PREFIX},
        default={"marked": []},
        on_opened_change=lambda: None,
        on_marked_change=lambda: None,
    )
    return GridAnswer(opened=answer.opened, marked=tuple(answer.marked or ()))
