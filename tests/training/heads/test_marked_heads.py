"""Classes that cannot be learnt or measured are left out; heads that learnt nothing say so wherever they are served."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_faces import KINDS, TRAIN, WIDTH, drawn_faces, options, say
from fsdata.labels.training_faces import TrainingFaces
from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.contracts.served import ETHNICITY
from fsengine.contracts.steps import AGE_GENDER, ATTRACTIVENESS, EMBED, detect_spec, embed_spec
from fsengine.errors import InvalidInputError
from fsexport.artifact.exported import ExportJob, ExportResult, Origin, export_artifact, read_exported
from fsexport.artifact.parity import Parity
from fsexport.packs.pack_builder import build_pack
from fstraining.evaluate.constant import beats_constant, constant_marks

for library in ("torch", "lightgbm", "matplotlib", "optuna"):
    pytest.importorskip(library, reason=f"{library} is missing; training needs it")

CROP = CropSpec(kind=CropKind.PORTRAIT, side_px=64)
MARK = "no better than a constant"


def noise(count: int = 150) -> TrainingFaces:
    """Draw faces whose embeddings say nothing of their labels."""
    vectors = np.random.default_rng(7).normal(size=(count, WIDTH))
    embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return replace(drawn_faces(count), embeddings=embeddings, encoder_id="")


def encoder(folder: Path) -> list[Path]:
    """Make a detector and an encoder that are none, for a pack that is never served."""
    parity = Parity(quantity="q", reference="r", inputs="i", largest_difference=0.0, limit=0.1)

    def make(path: Path, spec: Any, crop: CropSpec | None) -> ExportResult:
        path.write_bytes(b"graph")
        return ExportResult(spec=spec, crop=crop, parity=(parity,))

    specs = {"detect": (detect_spec(5), None), EMBED: (embed_spec(CROP, WIDTH), CROP)}
    origin = Origin(source="a test", licence="MIT", commercial_use=True)
    for step, (spec, crop) in specs.items():
        job = ExportJob(step=step, origin=origin)
        export_artifact(job, folder / step, partial(make, spec=spec, crop=crop), say)
    return [folder / step for step in specs]


@pytest.mark.parametrize(
    ("step", "marks"),
    [
        (ATTRACTIVENESS, (MARK,)),
        (ETHNICITY, (MARK,)),
        (AGE_GENDER, (f"gender {MARK}", f"age {MARK}")),
    ],
)
def test_a_head_that_learnt_nothing_says_so_wherever_it_is_served(
    step: str, marks: tuple[str, ...], tmp_path: Path
) -> None:
    lines: list[str] = []
    exported = TRAIN[step](noise(), options(tmp_path / "head"), lines.append)
    assert exported.measured_marks == marks
    assert read_exported(tmp_path / "head") == exported
    report = json.loads((tmp_path / "head" / "report" / "report.json").read_text())
    assert tuple(report["marks"]) == marks
    assert f"**Marked: {marks[0]}.**" in (tmp_path / "head" / "report" / "card.md").read_text()
    assert f"<strong>{marks[0]}</strong>" in (tmp_path / "head" / "report" / "report.html").read_text()
    assert [line for line in lines if "warning" in line and MARK in line]
    header = next(number for number, line in enumerate(lines) if "best constant answer" in line)
    shown = {line.split("  ")[1]: line for line in lines[header + 1 :] if line.startswith("  ")}
    for name, figure in report["figures"].items():
        row = shown[name.replace("_", " ")]
        assert f"{figure['value']:g}" in row
        assert f"{figure['interval'][0]:g} to {figure['interval'][1]:g}" in row
        assert name not in report["chance"] or row.endswith(f"{report['chance'][name]:g}")
    pack = build_pack("mine", "a test", [*encoder(tmp_path), tmp_path / "head"], tmp_path / "pack")
    for mark in marks:
        assert pack.served().marks[mark] == [step]
    assert marks[0] in pack.served().marks_text
    # Measured again, the record stays; another head in its place loses the mark.
    again: list[str] = []
    assert TRAIN[step](noise(), options(tmp_path / "head"), again.append) == exported
    assert any("unchanged" in line for line in again)
    better = TRAIN[step](drawn_faces(), options(tmp_path / "head"), say)
    assert better.measured_marks == ()
    assert read_exported(tmp_path / "head") == better


def test_a_figure_beats_a_constant_by_its_whole_interval() -> None:
    assert beats_constant("accuracy", {"interval": [0.51, 0.7]}, 0.5)
    assert not beats_constant("accuracy", {"interval": [0.5, 0.7]}, 0.5)
    assert beats_constant("mean_absolute_error", {"interval": [0.2, 0.31]}, 0.316)
    assert not beats_constant("mean_absolute_error", {"interval": [0.3, 0.37]}, 0.316)
    figures = {"accuracy": {"interval": [0.3, 0.6]}, "balanced_accuracy": {"interval": [0.4, 0.6]}}
    chance = {"accuracy": 0.4, "balanced_accuracy": 0.33, "age_mean_absolute_error": 10.0}
    assert list(constant_marks({"": tuple(figures)}, figures, chance)) == []
    # A figure that is no number shows nothing.
    assert list(constant_marks({"age": ["age_mean_absolute_error"]}, figures, chance)) == [f"age {MARK}"]


def with_class(count: int, label: str = "Martian") -> TrainingFaces:
    faces = drawn_faces()
    rows = [replace(row, ethnicity=label) if number < count else row for number, row in enumerate(faces.records)]
    return replace(faces, records=rows)


def test_a_class_without_a_face_in_every_split_is_left_out_and_told(tmp_path: Path) -> None:
    lines: list[str] = []
    exported = TRAIN[ETHNICITY](with_class(1), options(tmp_path), lines.append)
    assert exported.labels == {ETHNICITY: KINDS}
    assert [line for line in lines if line.startswith("warning: left out") and "Martian (1 face)" in line]
    data = json.loads((tmp_path / "report" / "report.json").read_text())["data"]
    assert data["left_out"] == {"of Martian, a class without a face in every split": 1}
    for name in ("report.html", "card.md"):
        assert "1 of Martian" in (tmp_path / "report" / name).read_text()


def test_a_class_with_faces_in_every_split_is_learnt(tmp_path: Path) -> None:
    exported = TRAIN[ETHNICITY](with_class(60), options(tmp_path), say)
    assert exported.labels[ETHNICITY] == sorted([*KINDS, "Martian"])


def test_one_class_that_is_left_is_none_to_learn_and_nothing_stays_behind(tmp_path: Path) -> None:
    faces = drawn_faces()
    rows = [replace(row, gender="male" if number == 3 else "female") for number, row in enumerate(faces.records)]
    out = tmp_path / "heads" / "new"
    with pytest.raises(InvalidInputError, match=r"male \(1 face\).*fewer than two classes"):
        TRAIN[AGE_GENDER](replace(faces, records=rows), options(out), say)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "heads").mkdir()
    with pytest.raises(InvalidInputError, match="fewer than two classes"):
        TRAIN[AGE_GENDER](replace(faces, records=rows), options(out), say)
    assert [path.name for path in tmp_path.iterdir()] == ["heads"]
