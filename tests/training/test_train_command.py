"""The commands of fstrain on users' labels: what is left out is told, wrong input ends with 2 and leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from fsdata.labels.readers.data_sets import read_labels
from fsdata.results.master_table import build_table
from fstraining.cli import main
from stored_faces import results_of

for library in ("lightgbm", "matplotlib"):
    pytest.importorskip(library, reason=f"{library} is missing; training needs it")


def report(shared: Path, name: str) -> Path:
    path = shared / "samples" / "reports" / name
    if not path.exists():
        pytest.skip(f"{name} is missing among the test assets")
    return path


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["ethnicity", "--licence", "CC BY 4.0", *map(str, arguments)])


def test_words_for_no_label_are_told_and_never_trained(shared: Path, tmp_path: Path) -> None:
    labels = report(shared, "B21/labels_race_nan_only.csv")
    results = results_of(read_labels(labels), tmp_path / "results")
    done = train("--results", results, "--labels", labels, "--out", tmp_path / "head")
    assert done.exit_code == 0, done.output
    for word in ("nan", "None", "N/A", "unknown"):
        assert f"ethnicity {word!r} is no label: 11 photos" in done.stderr
    assert len(json.loads((tmp_path / "head" / "artifact.json").read_text())["labels"]["ethnicity"]) == 7
    assert "best constant answer" in done.stderr
    assert done.stdout.strip() == str(tmp_path / "head")


def test_a_class_of_one_face_is_left_out_of_our_own_table(shared: Path, tmp_path: Path) -> None:
    labels = report(shared, "TRAIN/one_of_class.csv")
    table = build_table(results_of(read_labels(labels), tmp_path / "results"))
    done = train("--table", table, "--labels", labels, "--out", tmp_path / "head")
    assert done.exit_code == 0, done.output
    assert "warning: left out, without a face in training, calibration and figures each" in done.stderr
    record = json.loads((tmp_path / "head" / "artifact.json").read_text())
    assert len(record["labels"]["ethnicity"]) == 7
    assert record["reads"] == "enc-0123456789ab"
    text = (tmp_path / "head" / "report" / "report.html").read_text()
    assert "a class without a face in every split" in text
    assert "data:image/jpeg" in text
    hidden = train("--table", table, "--labels", labels, "--out", tmp_path / "head", "--no-faces")
    assert hidden.exit_code == 0, hidden.output
    text = (tmp_path / "head" / "report" / "report.html").read_text()
    assert "data:image/jpeg" not in text  # pictures of numbers are PNG
    assert str(tmp_path) not in text
    assert "by path" in text


@pytest.mark.parametrize("wrong", ["no labels", "encoder", "labels beside", "bad labels"])
def test_wrong_input_ends_with_2_and_leaves_nothing(wrong: str, shared: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,race\n" + "".join(f"{n}.jpg,Black\n" for n in range(3)))
    own = tmp_path / "own.parquet"
    pq.write_table(pa.table({"file": ["a.jpg"], "race": ["Black"], "embedding": [[1.0, 0.0]]}), own)
    results = results_of(read_labels(shared / "samples" / "labelled" / "labels.tsv"), tmp_path / "results")
    table = build_table(results)
    given: dict[str, tuple[tuple[object, ...], str]] = {
        "no labels": (("--table", table), "holds predictions and no labels: --table needs --labels"),
        "encoder": (("--table", table, "--labels", labels, "--encoder", "enc-1"), "results say which encoder"),
        "labels beside": (("--table", own, "--labels", labels), "--labels is for --results"),
        "bad labels": (("--table", table, "--labels", table), "predictions, no labels"),
    }
    arguments, said = given[wrong]
    done = train(*arguments, "--out", tmp_path / "heads" / "new")
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert not (tmp_path / "heads").exists()
