"""Two trainings beside each other: paired on the faces that both kept out, refused where they are not comparable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fstraining.cli import main
from fstraining.evaluate.comparison import paired_differences, read_run

for library in ("jinja2", "scipy"):
    pytest.importorskip(library, reason=f"{library} is missing; training needs it")

FACES = 40


def written(folder: Path, predicted: Sequence[Any] | None, head: str = "ethnicity", first: int = 0) -> Path:
    """Write the report of a training that kept `FACES` faces out, from a number on."""
    report = {
        "head": head,
        "figures": {"accuracy": {"n": FACES, "value": 0.5, "interval": [0.4, 0.6]}},
        "chance": {},
        "data": {"name": "<Faces>", "licence": "MIT", "reads": "", "counts": {"figures": FACES}},
        "settings": {"seed": first},
        "marks": [],
    }
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "report.json").write_text(json.dumps(report))
    if predicted is not None:
        number = isinstance(predicted[0], float)
        faces = range(first, first + FACES)
        table = {
            "source": [f"/photos/{face}.jpg" for face in faces],
            "face_index": [0] * FACES,
            "x_truth": [float(face) if number else "ab"[face % 2] for face in faces],
            "x_predicted": predicted,
        }
        pq.write_table(pa.table(table), folder / "report" / "predictions.parquet")
    return folder


def right(wrong: int) -> list[str]:
    return ["ab"[(face + (face < wrong)) % 2] for face in range(FACES)]


def test_classes_are_paired_and_flips_are_counted(tmp_path: Path) -> None:
    first, second = written(tmp_path / "one", right(20)), written(tmp_path / "two", right(4))
    (found,) = paired_differences(read_run(first), read_run(second))
    assert (found.quantity, found.number, found.first, found.second) == ("share right", FACES, 0.5, 0.9)
    assert found.difference is not None
    low, high = found.difference["interval"]
    assert 0 < low < found.difference["value"] == 0.4 < high
    assert dict(found.flips) == {"labelled a: b, then a": 8, "labelled b: a, then b": 8}


def test_numbers_are_paired_on_the_faces_that_both_kept_out(tmp_path: Path) -> None:
    near = np.arange(FACES) + 1.0
    first = written(tmp_path / "one", near.tolist())
    second = written(tmp_path / "two", (near + 29.0).tolist(), first=30)
    (found,) = paired_differences(read_run(first), read_run(second))
    assert (found.quantity, found.number, found.first, found.second) == ("mean absolute error", 10, 1.0, 0.0)
    assert found.difference is not None
    assert found.difference["interval"] == [-1.0, -1.0]
    assert dict(found.flips)["nearer to the label in the second"] == 10


def test_the_command_writes_a_page_and_says_what_is_missing(tmp_path: Path) -> None:
    first, second = written(tmp_path / "one", right(20)), written(tmp_path / "t<w>o", None, first=7)
    out = tmp_path / "compare.html"
    command = ["compare", str(first), str(second / "report" / "report.json"), "--out", str(out)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    page = out.read_text()
    assert "t&lt;w&gt;o has no predictions.parquet" in page
    assert "&lt;Faces&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert CliRunner().invoke(main, command).exit_code == 2
    assert CliRunner().invoke(main, [*command, "--overwrite"]).exit_code == 0


@pytest.mark.parametrize(
    "wrong", ["head", "nothing", "json", "deep", "report", "figures", "words", "data", "predictions"]
)
def test_what_cannot_be_compared_is_refused_in_words(wrong: str, tmp_path: Path) -> None:
    good, bad = written(tmp_path / "good", right(3)), tmp_path / "bad"
    if wrong == "nothing":
        bad.mkdir()
    else:
        written(bad, right(3), "age and gender" if wrong == "head" else "ethnicity")
    if wrong in ("json", "report"):
        (bad / "report" / "report.json").write_text("{" if wrong == "json" else "[]")
    if wrong == "deep":
        (bad / "report" / "report.json").write_text("[" * 100_000)
    if wrong in ("figures", "words", "data"):
        report = json.loads((bad / "report" / "report.json").read_text())
        report["data" if wrong == "data" else "figures"] = {
            "figures": 5,
            "words": {"accuracy": {"value": "much", "interval": None}},
            "data": {},
        }[wrong]
        (bad / "report" / "report.json").write_text(json.dumps(report))
    if wrong == "predictions":
        (bad / "report" / "predictions.parquet").write_bytes(b"PAR1")
    done = CliRunner().invoke(main, ["compare", str(good), str(bad), "--out", str(tmp_path / "out.html")])
    said = {
        "head": "bad one of age and gender; expected two trainings of one head",
        "nothing": "holds no report/report.json",
        "json": "cannot be read as JSON",
        "deep": "cannot be read as JSON",
        "figures": "do not hold what fstrain writes",
        "words": "do not hold what fstrain writes",
        "data": "do not hold what fstrain writes",
        "report": "is no object; expected a report",
        "predictions": "cannot be read as Parquet",
    }
    assert done.exit_code == 2, done.output
    assert said[wrong] in " ".join(done.stderr.split())
    assert not (tmp_path / "out.html").exists()
