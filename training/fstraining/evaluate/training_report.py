"""What was trained and how good it is: JSON for programs, Markdown for people, pictures, a model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fsengine.errors import MissingDependencyError
from fsengine.files.atomic import temporary_file
from fstraining.evaluate.metrics import LEAST_GROUP

REPORT_FOLDER = "report"
"""Below the folder of the artifact."""


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
        pictures: File name to what it shows.
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
    pictures: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[str] = ()


def write_report(report: TrainingReport, folder: Path, say: Callable[[str], None]) -> None:
    """Write `report.json`, `report.md` and `card.md` beside the pictures, and say where.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    texts = {
        "report.json": _json(report),
        "report.md": _rendered(report, "report"),
        "card.md": _rendered(report, "card"),
    }
    for name, text in texts.items():
        with temporary_file(folder / name) as temporary:
            temporary.write_text(text)
    say(f"report: {folder / 'report.md'}")


def _json(report: TrainingReport) -> str:
    record = asdict(report)
    del record["pictures"]
    return json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _rendered(report: TrainingReport, name: str) -> str:
    """Return a report as Markdown by the template `templates/<name>.md.j2`."""
    try:
        import jinja2
    except ImportError as exc:
        raise MissingDependencyError("reports need jinja2: pip install 'facestats[training]'") from exc
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fstraining.evaluate"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["words"] = lambda name: name.replace("_", " ")
    environment.filters["sorted_json"] = lambda value: json.dumps(value, indent=1, sort_keys=True)
    # A figure that no group has enough faces for has no column.
    columns = [figure for figure in report.figures if any(figure in row for row in report.groups)]
    values = {item.name: getattr(report, item.name) for item in fields(report)}
    return environment.get_template(f"{name}.md.j2").render(**values, group_figures=columns, least_group=LEAST_GROUP)
