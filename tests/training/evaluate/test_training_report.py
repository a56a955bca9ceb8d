"""The page of a training, and its card letter for letter, from the templates that ship."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from fsdata.pictures.html_page import PageFigure
from fstraining.evaluate.training_report import TrainingData, TrainingReport, write_report
from fstraining.evaluate.worst_faces import WorstFace

pytest.importorskip("jinja2", reason="jinja2 is missing; it writes the reports")
pytest.importorskip("matplotlib", reason="matplotlib is missing; it draws the reports")

ACCURACY = {"n": 31, "value": 0.9, "interval": [0.8, 0.95]}
LOSS = {"n": 31, "value": 0.3, "interval": [0.1, 0.5]}
REPORT = TrainingReport(
    head="ethnicity",
    about="A forest <of trees> & more.",
    data=TrainingData(
        name="Faces",
        licence="CC BY 4.0",
        reads="enc-1",
        counts={"training": 70, "figures": 31},
        left_out={"without a label": 3, "without a face": 2},
        digest="d",
    ),
    settings={"seed": 0, "hidden": (4, 2)},
    figures={"accuracy": ACCURACY, "log_loss": LOSS},
    chance={"accuracy": 0.4},
    groups=[
        {"attribute": "gender", "group": "a|b", "n": 12, "accuracy": ACCURACY},
        {"attribute": "gender", "group": "c", "n": 11},
        {"attribute": "age", "group": "00-02", "n": 8},
    ],
    curves={},
    limits=("One limit.", "Another."),
    leading={"accuracy": ""},
    charts=[PageFigure("First", "<svg></svg>", "A chart")],
    worst=[("ethnicity", [WorstFace("", "labelled <a>, predicted c (0.90)", "1.jpg", "the photo is gone")])],
)
SECTIONS = """\
## Data

Faces; licence: CC BY 4.0. Faces: 70 for training, 31 for figures. Labelled photos left out: 3 without a label, \
2 without a face.
Embeddings of encoder `enc-1`. Faces of one person, copies and near-duplicates are on one side of the split.

## Figures on faces kept out of training, as served

| | value | 95 % interval | best constant answer | n |
|---|---|---|---|---|
| accuracy | 0.9 | 0.8 to 0.95 | 0.4 | 31 |
| log loss | 0.3 | 0.1 to 0.5 |  | 31 |
"""
GROUPS = """\
## By group

| | group | n | accuracy |
|---|---|---|---|
| gender | a\\|b | 12 | 0.9 (0.8 to 0.95) |
| gender | c | 11 | – |
| age | 00-02 | 8 | too few faces |
"""  # noqa: RUF001  # a dash, as in print


def written(report: TrainingReport, folder: Path) -> tuple[str, str]:
    lines: list[str] = []
    write_report(report, folder, lines.append)
    assert lines == [f"report: {folder / 'report.html'}"]
    return (folder / "report.html").read_text(), (folder / "card.md").read_text()


def test_the_page_shows_the_figure_that_counts_first_and_asks_no_network(tmp_path: Path) -> None:
    page, _ = written(REPORT, tmp_path)
    assert page == written(REPORT, tmp_path)[0]
    assert "A forest &lt;of trees&gt; &amp; more." in page
    assert page.index("<strong>0.90</strong>") < page.index("<table>")
    assert "the best constant answer has 0.40" in page
    assert "0.80 to 0.95" in page
    for title in ("By group: accuracy", "First"):
        assert f"<h3>{title}</h3>" in page
    assert "labelled &lt;a&gt;, predicted c (0.90)<br>1.jpg" in page
    assert "the photo is gone" in page
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|file:|src=\"(?!data:)", page)


def test_the_card_is_written_letter_for_letter(tmp_path: Path) -> None:
    _, text = written(REPORT, tmp_path)
    head, use = "# Model card: ethnicity\n\nA forest <of trees> & more.\n\n", text[text.index("## Intended use") :]
    assert text.startswith(head + "## Intended use\n\nResearch on collections of photos,")
    use, rest = use[: use.index("## Data")], use[use.index("## Data") :]
    assert "\n\n## Not for\n\nDecisions about a person: " in use
    assert use.endswith("what others saw in photos.\n\n")
    assert rest == SECTIONS + "\n## Limits\n\n- One limit.\n- Another.\n\n" + GROUPS


def test_what_is_not_there_is_said_or_left_out(tmp_path: Path) -> None:
    bare = replace(REPORT, data=replace(REPORT.data, reads="", left_out={}), groups=[], charts=[], worst=[])
    text, card = written(bare, tmp_path)
    assert "Labelled photos left out: none.\nEmbeddings of encoder `not stated`. Faces" in card
    assert "## By group\n\nToo few faces in every group for figures.\n" in card
    assert "<td>not stated</td>" in text
    assert "Too few faces in every group for figures." in text
    assert "Largest errors" not in text
