"""A report as one HTML file that needs no script and no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsanalysis.composite.mean_face import Composite, make_composite
from fsanalysis.crops.crops_of_results import iter_crops
from fsanalysis.report.charts import figures
from fsanalysis.report.gathered import gather
from fsdata.pictures.cutting import FaceCrop
from fsdata.pictures.html_page import picture_uri, rendered_page
from fsdata.pictures.photo_faces import COLUMNS
from fsdata.results.reading import Results
from fsdata.selection.photo_copies import DISTANCE, find_copies, find_near_duplicates, hashed_photos
from fsdata.selection.selected_faces import scan_selected
from fsengine.contracts.steps import HEADS
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import printable

SHEET_FACES = 60
_SHEET_PX = 96
_COMPOSITE_PX = 192
_SEED = 20
_GROUPS_LISTED = 10
_NAMES_LISTED = 4
_GROUPS = (
    ("gender = 'female' AND age_years < 20", "gender = 'male' AND age_years < 20"),
    ("gender = 'female' AND age_years BETWEEN 20 AND 40", "gender = 'male' AND age_years BETWEEN 20 AND 40"),
    ("gender = 'female' AND age_years > 40", "gender = 'male' AND age_years > 40"),
)


def report_page(
    results: Results,
    *,
    where: str | None = None,
    faces: bool = False,
    composites: bool = False,
    on_face: Callable[[], object] | None = None,
) -> str:
    """Return a report of results as HTML. The same results give the same bytes.

    Args:
        results: What is reported.
        where: Which faces are, see `scan_selected`; None for all. Photos are counted all the same.
        faces: Whether it shows a sample of the faces.
        composites: Whether it shows the mean face of each group of age and gender that has twenty or more.
        on_face: Called after each face that is looked at for these two.

    Raises:
        InvalidInputError: `where` is no expression.
        MissingDependencyError: The extra `analysis` is not installed.
        ResultsError: A part is damaged.
    """
    found = gather(results, where)
    made, refused = _composites(results, where, on_face) if composites and found.num_faces else ([], [])
    sheet, missing = _sheet(results, where, found.num_faces, on_face) if faces and found.num_faces else ([], Counter())
    models = results.info.models
    num_failed = found.num_photos - sum(found.faces_a_photo.values())
    values = {
        "title": f"{found.num_faces:,} faces in {found.num_photos:,} photos",
        "where": where,
        "copies": _copies(results),
        "folder": printable(results.folder.absolute().name),
        "made_with": _made_with(results),
        "statuses": [(status, f"{number:,}") for status, number in sorted(found.statuses.items())],
        "num_photos": f"{found.num_photos:,}",
        "num_faces": f"{found.num_faces:,}",
        "num_truncated": found.num_truncated,
        "failures": [tuple(map(printable, failure)) for failure in found.failures],
        "more_failures": num_failed - len(found.failures),
        "missing_heads": ", ".join(sorted(HEADS - models.models.keys())),
        "figures": figures(found, results.labels),
        "composites": made,
        "refused": refused,
        "faces": sheet,
        "missing_faces": missing.most_common(),
    }
    return rendered_page("fsanalysis.report", "report.html.j2", values)


def _made_with(results: Results) -> list[tuple[str, str]]:
    models = results.info.models
    marks = [(f"mark: {mark}", ", ".join(steps)) for mark, steps in sorted(models.marks.items())]
    return [
        *marks,
        ("pack", models.pack),
        ("model set", models.model_set_id),
        *((f"model of {step}", name) for step, name in sorted(models.models.items())),
        ("licences", ", ".join(sorted(set(models.licences.values())))),
        ("server", results.info.runtime),
        ("embeddings", "stored" if results.has_embeddings else "not stored"),
    ]


def _copies(results: Results) -> list[dict[str, Any]]:
    """Return what is said of photos that are there more than once."""
    said = [_copies_said("the same bytes", find_copies(results), "")]
    hashed = hashed_photos(results).num_rows
    if hashed:
        note = f"of {hashed:,} photos whose crops are kept; whole photos are compared, never faces"
        said.append(_copies_said(f"nearly the same look ({DISTANCE} bits of 64)", find_near_duplicates(results), note))
    return said


def _copies_said(way: str, found: pa.Table, note: str) -> dict[str, Any]:
    rows = found.to_pylist()
    groups: dict[int, list[str]] = {}
    for row in rows:
        if row["group"] < _GROUPS_LISTED:
            groups.setdefault(row["group"], []).append(printable(row["source"]))
    return {
        "way": way,
        "photos": f"{len(rows):,}",
        "groups": f"{rows[-1]['group'] + 1 if rows else 0:,}",
        "note": note,
        "listed": [(f"{len(names):,}", names[:_NAMES_LISTED]) for names in groups.values()],
    }


def _composites(
    results: Results, where: str | None, on_face: Callable[[], object] | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the mean faces of the groups, and why others have none."""
    columns = results.face_schema().names
    if not {"gender", "age_years"} <= set(columns):
        return [], ["Mean faces are made by age and gender, which these results do not have."]
    made, refused = [], []
    for group in (group for pair in _GROUPS for group in pair):
        both = group if where is None else f"{group} AND (\n{where}\n)"
        try:
            made.append(_shown(make_composite(results, both, side=_COMPOSITE_PX, mask=True, on_face=on_face)))
        except InvalidInputError as exc:
            refused.append(str(exc))
    return made, refused


def _shown(composite: Composite) -> dict[str, Any]:
    left_out = ", ".join(f"{number} {reason}" for reason, number in composite.left_out.items())
    return {
        "uri": picture_uri(composite.picture, "PNG"),
        "where": composite.where,
        "number": composite.num_used,
        "found": composite.num_found,
        "left_out": left_out,
    }


def _sheet(
    results: Results, where: str | None, num_faces: int, on_face: Callable[[], object] | None
) -> tuple[list[dict[str, str]], Counter[str]]:
    """Return a sample of the faces as small pictures, and why others of it have none."""
    drawn = np.arange(num_faces)
    if num_faces > SHEET_FACES:
        drawn = np.sort(np.random.default_rng(_SEED).choice(num_faces, SHEET_FACES, replace=False))
    shown: list[dict[str, str]] = []
    missing: Counter[str] = Counter()
    for crop in iter_crops(results, _rows(results, where, drawn)):
        if isinstance(crop, FaceCrop):
            text = f"face {crop.face_index} of {printable(crop.source)}"
            shown.append({"uri": picture_uri(crop.image, "JPEG", _SHEET_PX), "text": text})
        else:
            missing[crop.reason] += 1
        if on_face is not None:
            on_face()
    return shown, missing


def _rows(results: Results, where: str | None, numbers: NDArray[np.int64]) -> pa.Table:
    """Return faces by their numbers in the order of sources; no more of them is held."""
    taken, start = [], 0
    for batch in scan_selected(results, where, list(COLUMNS)):
        here = numbers[(numbers >= start) & (numbers < start + batch.num_rows)] - start
        taken.append(batch.take(pa.array(here)))
        start += batch.num_rows
    return pa.Table.from_batches(taken)
