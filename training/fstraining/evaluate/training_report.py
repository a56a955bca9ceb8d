"""What was trained and how good it is: JSON for programs, a page for people, a model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fsdata.pictures.html_page import PageFigure, rendered_page
from fsengine.errors import MissingDependencyError
from fsengine.files.atomic import temporary_file
from fstraining.evaluate.metrics import LEAST_GROUP
from fstraining.evaluate.training_charts import group_bars
from fstraining.evaluate.worst_faces import WorstFace

REPORT_FOLDER = "report"
"""Below the folder of the artifact."""
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a head was trained on.

    Attributes:
        name: Of the data set.
        licence: Of its labels and photos, as the user states it.
        reads: The encoder of the embeddings.
        counts: Faces by what they were for.
        left_out: Labelled photos without a face here, by reason.
        joined: Labelled photos by how they were found in results; empty of a table of embeddings.
        digest: Hash of embeddings and labels.
    """

    name: str
    licence: str
    reads: str
    counts: Mapping[str, int]
    left_out: Mapping[str, int]
    digest: str
    joined: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """A report.

    Attributes:
        head: What was trained.
        about: One sentence.
        data: What it was trained on.
        settings: How, seeds included.
        figures: Name to figure, on faces kept out of training, from what is served.
        chance: Name to the figure of the best constant answer on the same faces.
        marks: What the figures show that a reader must know, as the artifact says it.
        groups: Every figure for every group.
        curves: Name to numbers, as drawn.
        limits: What a reader must know, a sentence each.
        leading: The figures that are shown first, the one that counts most at the top, with their units.
        model: Hash of the artifact.
        charts: What a page shows.
        worst: Faces with the largest errors of each answer; empty where none may be shown.
    """

    head: str
    about: str
    data: TrainingData
    settings: Mapping[str, Any]
    figures: Mapping[str, Any]
    chance: Mapping[str, float]
    groups: Sequence[Mapping[str, Any]]
    curves: Mapping[str, Any]
    limits: Sequence[str] = ()
    marks: Sequence[str] = ()
    leading: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    charts: Sequence[PageFigure] = ()
    worst: Sequence[tuple[str, Sequence[WorstFace]]] = ()


def write_report(report: TrainingReport, folder: Path, say: Callable[[str], None]) -> None:
    """Write `report.json`, `report.html` and `card.md`, and say where.

    Raises:
        MissingDependencyError: jinja2 or matplotlib is not installed.
    """
    texts = {REPORT_FILE: _json(report), PAGE_FILE: training_page(report), "card.md": _card(report)}
    for name, text in texts.items():
        with temporary_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    say(f"report: {folder / PAGE_FILE}")


def training_page(report: TrainingReport) -> str:
    """Return a report as one HTML file. The same report gives the same bytes.

    Raises:
        MissingDependencyError: jinja2 or matplotlib is not installed.
    """
    leading = {name: unit for name, unit in report.leading.items() if name in report.figures}
    bars = [group_bars(name, unit, report.groups, report.figures[name]) for name, unit in leading.items()]
    values = {
        **_values(report),
        "title": f"{report.head}: training report",
        "leading": leading,
        "bars": [bar for bar in bars if bar is not None],
    }
    return rendered_page("fstraining.evaluate", "training.html.j2", values)


def _json(report: TrainingReport) -> str:
    record = asdict(report)
    for shown in ("charts", "worst"):
        del record[shown]
    return json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _values(report: TrainingReport) -> dict[str, Any]:
    """Return what templates show."""
    # A figure that no group has enough faces for has no column.
    columns = [figure for figure in report.figures if any(figure in row for row in report.groups)]
    values = {item.name: getattr(report, item.name) for item in fields(report)}
    return {**values, "group_figures": columns, "least_group": LEAST_GROUP}


def _card(report: TrainingReport) -> str:
    """Return a model card as Markdown."""
    try:
        import jinja2
    except ImportError as exc:
        raise MissingDependencyError("reports need jinja2: pip install 'facestats[training]'") from exc
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fstraining.evaluate"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown, not HTML
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["words"] = lambda name: name.replace("_", " ")
    return environment.get_template("card.md.j2").render(**_values(report))
