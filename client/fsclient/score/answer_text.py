"""Scores as JSON and as text."""

from __future__ import annotations

from typing import Any

from fsdata.results.rows import PhotoRow
from fsdata.results.schema import FACE_COLUMNS
from fsengine.contracts.served import ETHNICITY, GENDER, ServedModels


def photo_json(row: PhotoRow, models: ServedModels) -> dict[str, Any]:
    """Return a photo as JSON: source, status, faces and what else is known, marks included."""
    return {
        "source": row.photo.source,
        "status": row.status.value,
        "reason": row.reason,
        "width": row.width,
        "height": row.height,
        "faces_truncated": row.faces_truncated,
        "model_set_id": models.model_set_id,
        "marks": dict(models.marks),
        "faces": [face_json(row, i, models) for i in range(row.num_faces)],
    }


def face_json(row: PhotoRow, index: int, models: ServedModels) -> dict[str, Any]:
    """Return one face as JSON; class probabilities are keyed by their labels, and a head that abstains names none."""
    face: dict[str, Any] = {}
    for output, column in FACE_COLUMNS.items():
        if output not in row.faces:
            continue
        value = row.faces[output][index]
        face[column] = float(value[0]) if value.shape == (1,) else value.tolist()
    for column, label in (("gender_probability", GENDER), ("ethnicity_probability", ETHNICITY)):
        if column in face:
            face[label] = models.label_of(label, face[column])
            face[column] = dict(zip(models.labels[label], face[column], strict=True))
    return face


def photo_text(row: PhotoRow, models: ServedModels) -> str:
    """Return a photo as lines for a terminal."""
    head = f"{row.photo.source}: {row.status.value}"
    if row.reason:
        return f"{head}: {row.reason}"
    if row.width is not None:
        head += f", {row.width} x {row.height} px, {row.num_faces} faces"
    if row.faces_truncated:
        head += " (and more: the pack's limit is reached)"
    return "\n".join([head, *(f"  {face_text(row, i, models)}" for i in range(row.num_faces))])


def face_text(row: PhotoRow, index: int, models: ServedModels) -> str:
    """Return one face as a line."""
    face = face_json(row, index, models)
    box = ", ".join(f"{side:.0f}" for side in face["box"])
    return "  ".join([f"box [{box}]", f"score {face['score']:.2f}", *face_values(face)])


def face_values(face: dict[str, Any]) -> list[str]:
    """Return what the heads say of a face, a short text each."""
    values = []
    if GENDER in face:
        values.append(_class_text(face, GENDER))
    if "age_years" in face:
        values.append(f"age {face['age_years']:.0f}{_interval_text(face, 'age_interval_years', 0)}")
    if ETHNICITY in face:
        values.append(_class_text(face, ETHNICITY))
    if "attractiveness" in face:
        percentile = face["attractiveness_percentile"]
        interval = _interval_text(face, "attractiveness_interval", 2)
        values.append(f"attractiveness {face['attractiveness']:.2f}{interval} (percentile {percentile:.0f})")
    return values


def _class_text(face: dict[str, Any], label: str) -> str:
    name = face[label]
    return f"{label} unsure" if name is None else f"{name} {face[f'{label}_probability'][name]:.2f}"


def _interval_text(face: dict[str, Any], column: str, digits: int) -> str:
    if column not in face:
        return ""
    low, high = face[column]
    return f" [{low:.{digits}f} to {high:.{digits}f}]"
