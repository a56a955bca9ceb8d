"""What was trained and how good it is: JSON for programs, Markdown for people, pictures, a model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fsengine.files.atomic import temporary_file
from fstraining.evaluate.metrics import LEAST_GROUP

REPORT_FOLDER = "report"
"""Below the folder of the artifact."""

USE = (
    "Research on collections of photos, and descriptions that a person checks. See docs/responsible-use.md of "
    "FaceStats: what such predictions can and cannot mean, and where the law forbids them."
)
NOT_FOR = (
    "Decisions about a person: hiring, lending, policing, border control, access, insurance, school, medicine. Nor for "
    "telling anyone what they are: the labels are what others saw in photos."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What a head was trained on.

    Attributes:
        name: Of the data set.
        licence: Of its labels and photos, as the user states it.
        reads: The encoder of the embeddings.
        counts: Faces by what they were for.
        left_out: Labelled photos without a face here, by reason.
        digest: Hash of embeddings and labels.
    """

    name: str
    licence: str
    reads: str
    counts: Mapping[str, int]
    left_out: Mapping[str, int]
    digest: str


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


def write_report(report: TrainingReport, folder: Path, say: Callable[[str], None]) -> None:
    """Write `report.json`, `report.md` and `card.md` beside the pictures, and say where."""
    texts = {"report.json": _json(report), "report.md": _markdown(report), "card.md": _card(report)}
    for name, text in texts.items():
        with temporary_file(folder / name) as temporary:
            temporary.write_text(text)
    say(f"report: {folder / 'report.md'}")


def _json(report: TrainingReport) -> str:
    record = asdict(report)
    del record["pictures"]
    return json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _markdown(report: TrainingReport) -> str:
    lines = [
        f"# {report.head}: training report",
        "",
        report.about,
        "",
        *_data_lines(report),
        "",
        *_figure_lines(report),
    ]
    lines += ["", "## By group", "", *_group_lines(report)]
    for file, text in report.pictures.items():
        lines += ["", f"![{text}]({file})"]
    lines += ["", "## Settings", "", "```", json.dumps(report.settings, indent=1, sort_keys=True), "```"]
    return "\n".join(lines) + "\n"


def _card(report: TrainingReport) -> str:
    lines = [f"# Model card: {report.head}", "", report.about, "", "## Intended use", "", USE]
    lines += ["", "## Not for", "", NOT_FOR, "", *_data_lines(report), "", *_figure_lines(report)]
    lines += [
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in report.limits),
        "",
        "## By group",
        "",
        *_group_lines(report),
    ]
    return "\n".join(lines) + "\n"


def _data_lines(report: TrainingReport) -> list[str]:
    data = report.data
    counts = ", ".join(f"{count} for {use}" for use, count in data.counts.items())
    left_out = ", ".join(f"{count} {reason}" for reason, count in data.left_out.items()) or "none"
    return [
        "## Data",
        "",
        f"{data.name}; licence: {data.licence}. Faces: {counts}. Labelled photos left out: {left_out}.",
        f"Embeddings of encoder `{data.reads or 'not stated'}`. Faces of one person, copies and near-duplicates are "
        "on one side of the split.",
    ]


def _figure_lines(report: TrainingReport) -> list[str]:
    lines = [
        "## Figures on faces kept out of training, as served",
        "",
        "| | value | 95 % interval | best constant answer | n |",
    ]
    lines.append("|---|---|---|---|---|")
    for name, figure in report.figures.items():
        cells = [_words(name), figure["value"], _interval(figure), report.chance.get(name, ""), figure["n"]]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return lines


def _group_lines(report: TrainingReport) -> list[str]:
    names = [name for name, figure in report.figures.items() if any(name in row for row in report.groups)]
    if not names:
        return ["Too few faces in every group for figures."]
    lines = [
        "| | group | n | " + " | ".join(_words(name) for name in names) + " |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for row in report.groups:
        missing = "–" if row["n"] >= LEAST_GROUP else "too few faces"  # noqa: RUF001  # a dash, as in print
        cells = [f"{row[name]['value']} ({_interval(row[name])})" if name in row else missing for name in names]
        group = str(row["group"]).replace("|", "\\|")
        lines.append(f"| {row['attribute']} | {group} | {row['n']} | " + " | ".join(cells) + " |")
    return lines


def _interval(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{low} to {high}"


def _words(name: str) -> str:
    return name.replace("_", " ")
