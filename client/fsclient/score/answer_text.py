"""Scores as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from fsclient.score.answers import Face, ScoredPhoto
from fsengine.contracts.served import UNCERTAIN
from fsengine.terminal.messages import counted, printable


def photo_text(photo: ScoredPhoto) -> str:
    """Return a photo as lines for a terminal; faces have the numbers of a drawing."""
    head = f"{printable(str(photo.source))}: {photo.status.value}"
    if photo.reason:
        return f"{head}: {printable(photo.reason)}"
    if photo.width is not None:
        head += f", {photo.width} x {photo.height} px, {counted(len(photo.faces), 'face')}"
    if photo.faces_truncated:
        head += " (and more: the pack's limit is reached)"
    width = len(str(len(photo.faces)))
    lines = [f"  {number:>{width}}  {face_text(face)}" for number, face in enumerate(photo.faces, start=1)]
    return "\n".join([head, *lines])


def face_text(face: Face) -> str:
    """Return one face as a line."""
    box = ", ".join(f"{side:.0f}" for side in face.box)
    return "  ".join([f"box [{box}]", f"score {face.score:.2f}", *face_values(face)])


def face_values(face: Face) -> list[str]:
    """Return what the heads say of a face, a short text each."""
    values = []
    if face.gender is not None and face.gender_probability is not None:
        values.append(_class_text("gender", face.gender, face.gender_probability))
    if face.age_years is not None:
        values.append(f"age {face.age_years:.0f}{_interval_text(face.age_interval_years, 0)}")
    if face.ethnicity is not None and face.ethnicity_probability is not None:
        values.append(_class_text("ethnicity", face.ethnicity, face.ethnicity_probability))
    if face.attractiveness is not None and face.attractiveness_percentile is not None:
        interval = _interval_text(face.attractiveness_interval, 2)
        values.append(
            f"attractiveness {face.attractiveness:.2f}{interval} (percentile {face.attractiveness_percentile:.0f})"
        )
    return values


def _class_text(head: str, label: str, probability: Mapping[str, float]) -> str:
    return f"{head} {UNCERTAIN}" if label == UNCERTAIN else f"{label} {probability[label]:.2f}"


def _interval_text(interval: tuple[float, float] | None, digits: int) -> str:
    return "" if interval is None else f" [{interval[0]:.{digits}f} to {interval[1]:.{digits}f}]"
