"""Artifacts are whole or absent, say where they come from, and are not made twice; packs are made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.contracts.steps import AGE_GENDER, EMBED, detect_spec, embed_spec
from fsengine.errors import ExportError, InvalidInputError, PackError
from fsengine.packs.pack import verify_pack
from fsexport.artifact.exported import RECORD_FILE, ExportJob, ExportResult, Origin, export_artifact, read_exported
from fsexport.artifact.parity import Parity, compare, parity_table, require_parity
from fsexport.heads.linear_head import LinearHead, export_linear_head_artifact
from fsexport.packs.pack_builder import build_pack
from fsexport.sources.sklearn_pickle import ScaledClassifier

ORIGIN = Origin(source="a test", licence="MIT", commercial_use=True, sources={"weights": "0" * 64})
CROP = CropSpec(kind=CropKind.PORTRAIT, side_px=64)
JOB = ExportJob(step=EMBED, origin=ORIGIN, options={"width": 16})


def parity(difference: float = 0.0, **changes: Any) -> Parity:
    values = {
        "quantity": "embedding",
        "reference": "the source",
        "inputs": "nothing",
        "largest_difference": difference,
        "limit": 0.1,
    }
    return Parity(**{**values, **changes})


class Maker:
    """Writes an artifact and counts how often."""

    def __init__(self, row: Parity | None = None, content: bytes = b"graph", fail: bool = False) -> None:
        self.row, self.content, self.fail, self.times = row or parity(), content, fail, 0

    def __call__(self, path: Path) -> ExportResult:
        self.times += 1
        path.write_bytes(self.content)
        if self.fail:
            raise ExportError("broken")
        return ExportResult(spec=embed_spec(CROP, 16), crop=CROP, parity=(self.row,))


def say(_: str) -> None:
    return None


def test_an_unchanged_export_is_not_done_again_and_a_changed_one_is(tmp_path: Path) -> None:
    make = Maker()
    first = export_artifact(JOB, tmp_path, make, say)
    assert read_exported(tmp_path) == first
    assert export_artifact(JOB, tmp_path, make, say) == first
    assert make.times == 1
    changes: list[ExportJob] = [
        replace(JOB, options={"width": 17}),
        replace(JOB, precision="fp16"),
        replace(JOB, origin=replace(ORIGIN, sources={"weights": "1" * 64})),
        replace(JOB, origin=replace(ORIGIN, licence="other")),
        replace(JOB, libraries=("onnx", "numpy")),
    ]
    for times, job in enumerate(changes, start=2):
        export_artifact(job, tmp_path, make, say)
        assert make.times == times
    (tmp_path / "model.onnx").write_bytes(b"altered")
    export_artifact(changes[-1], tmp_path, make, say)
    assert (tmp_path / "model.onnx").read_bytes() == b"graph"
    (tmp_path / RECORD_FILE).write_text('{"step": "embed"}')
    export_artifact(changes[-1], tmp_path, make, say)
    assert make.times == 8


def test_a_failed_export_leaves_nothing_and_the_former_one_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="broken"):
        export_artifact(JOB, tmp_path, Maker(fail=True), say)
    with pytest.raises(ExportError, match="broken"):
        export_artifact(JOB, tmp_path / "new", Maker(fail=True), say)
    assert not list(tmp_path.iterdir())
    former = export_artifact(JOB, tmp_path, Maker(), say)
    with pytest.raises(ExportError, match="broken"):
        export_artifact(replace(JOB, precision="fp16"), tmp_path, Maker(fail=True), say)
    with pytest.raises(ExportError, match=r"differs from the source by up to 0\.2"):
        export_artifact(replace(JOB, precision="fp16"), tmp_path, Maker(parity(0.2), b"wrong"), say)
    assert read_exported(tmp_path) == former
    assert sorted(path.name for path in tmp_path.iterdir()) == [RECORD_FILE, "model.onnx"]


def test_a_file_of_the_users_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"mine")
    with pytest.raises(InvalidInputError, match=r"there already and is no artifact"):
        export_artifact(JOB, tmp_path, Maker(), say)
    assert (tmp_path / "model.onnx").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "changes",
    [
        {"step": ["embed"]},
        {"file": "../model.onnx"},
        {"file": 5},
        {"labels": {"gender": ["a", "a"]}},
        {"labels": [1]},
        {"outputs": []},
        {"outputs": [1]},
        {"options": 5},
        {"commercial_use": "no"},
        {"parity": [{"x": 1}]},
    ],
    ids=str,
)
def test_a_record_that_is_wrong_in_one_way_is_no_record(tmp_path: Path, changes: dict[str, Any]) -> None:
    export_artifact(JOB, tmp_path, Maker(), say)
    record = json.loads((tmp_path / RECORD_FILE).read_text())
    (tmp_path / RECORD_FILE).write_text(json.dumps({**record, **changes}))
    with pytest.raises(InvalidInputError, match=r"no artifact\.json"):
        read_exported(tmp_path)


def test_a_pack_made_of_a_step_that_is_none_touches_nothing(tmp_path: Path) -> None:
    made = artifacts(tmp_path / "build")
    record = json.loads((made["gender"] / RECORD_FILE).read_text())
    (made["gender"] / RECORD_FILE).write_text(json.dumps({**record, "step": "../victim"}))
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious.txt").write_text("x")
    with pytest.raises(InvalidInputError, match=r"serves '\.\./victim'"):
        build_pack("mine", "", list(made.values()), tmp_path / "pack")
    assert (tmp_path / "victim" / "precious.txt").exists()
    assert not (tmp_path / "pack").exists()
    with pytest.raises(PackError, match=r"pack name '\.\./mine'"):
        build_pack("../mine", "", [made["detect"], made["embed"]], tmp_path / "pack")


def test_a_folder_of_another_step_or_of_none_is_refused(tmp_path: Path) -> None:
    export_artifact(JOB, tmp_path, Maker(), say)
    with pytest.raises(InvalidInputError, match="holds an artifact of embed, not of detect"):
        export_artifact(replace(JOB, step="detect"), tmp_path, Maker(), say)
    with pytest.raises(InvalidInputError, match=r"no artifact\.json"):
        read_exported(tmp_path / "nothing")
    (tmp_path / "model.onnx").write_bytes(b"altered")
    with pytest.raises(InvalidInputError, match="was altered"):
        read_exported(tmp_path)


def test_what_a_library_says_of_a_strange_model_is_explained(tmp_path: Path) -> None:
    def make(_: Path) -> ExportResult:
        raise IndexError("list index (2) out of range")

    with pytest.raises(ExportError, match=r"a test cannot be exported \(IndexError: .*is it the model"):
        export_artifact(JOB, tmp_path, make, say)


@pytest.mark.parametrize(
    ("row", "passes"),
    [
        (parity(0.1), True),
        (parity(0.11), False),
        (parity(float("nan")), False),
        (parity(9.0, limit=None), True),
        (parity(0.0, least_cosine=0.9, cosine_limit=0.95), False),
        (parity(0.0, least_cosine=0.96, cosine_limit=0.95), True),
        (parity(0.0, least_cosine=float("nan"), cosine_limit=0.95), False),
    ],
)
def test_a_comparison_passes_within_its_limits_alone(row: Parity, passes: bool) -> None:
    assert row.passed == passes
    if passes:
        require_parity([row])
    else:
        with pytest.raises(ExportError, match="Nothing was written"):
            require_parity([row])


def test_comparisons_measure_what_they_say(tmp_path: Path) -> None:
    one, other = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    values: dict[str, Any] = {"quantity": "q", "reference": "r", "inputs": "i", "limit": None}
    row = compare(one, other, cosine_limit=0.5, **values)
    assert row.largest_difference == 1.0
    assert row.least_cosine == pytest.approx(2**-0.5)
    with pytest.raises(ExportError, match="the conversion is wrong"):
        compare(one, other[:1], **values)
    exported = export_artifact(JOB, tmp_path, Maker(parity(0.05, note="a | b")), say)
    lines = parity_table([exported]).splitlines()
    assert lines[2] == "| embed | a test | fp32 | embedding | the source | nothing | 0.05 (0.1) |  | a / b |"


def artifacts(folder: Path, width: int = 16) -> dict[str, Path]:
    """Make a detector and an encoder that are none, and a real head."""
    export_artifact(JOB, folder / "embed", Maker(), say)

    def make_detect(path: Path) -> ExportResult:
        path.write_bytes(b"detector")
        return ExportResult(spec=detect_spec(5))

    export_artifact(ExportJob(step="detect", origin=ORIGIN), folder / "detect", make_detect, say)
    classifier = ScaledClassifier(
        mean=np.zeros(width),
        scale=np.ones(width),
        weight=np.random.default_rng(0).normal(size=(3, width)),
        bias=np.zeros(3),
        labels=["female", "male", "unknown"],
    )
    export_linear_head_artifact(classifier, LinearHead.GENDER, ORIGIN, folder / "gender", say)
    return {name: folder / name for name in ("detect", "embed", "gender")}


def test_a_pack_takes_labels_widths_and_provenance_from_its_artifacts(tmp_path: Path) -> None:
    made = artifacts(tmp_path / "build")
    pack = build_pack("mine", "a test", list(made.values()), tmp_path / "pack")
    assert verify_pack(tmp_path / "pack") == pack
    assert pack.labels == {"gender": ["female", "male", "unknown"]}
    assert (pack.max_faces, pack.embedding_width, pack.preprocessing.portrait) == (5, 16, CROP)
    assert [spec.name for spec in pack.specs()][-1] == AGE_GENDER
    assert [tensor.name for tensor in pack.specs()[-1].outputs] == ["gender_probability"]
    model = pack.models[EMBED]
    assert model.source_sha256 == {"weights": "0" * 64}
    assert model.provenance["options"] == {"width": 16}
    assert str(model.provenance["exporter"]).startswith("fsexport ")
    assert set(model.provenance["libraries"]) == {"onnx"}
    # Made again without the head, what belonged to it is gone.
    build_pack("mine", "a test", [made["detect"], made["embed"]], tmp_path / "pack")
    assert not (tmp_path / "pack" / AGE_GENDER).exists()


def test_artifacts_that_do_not_make_a_pack_are_refused(tmp_path: Path) -> None:
    made = artifacts(tmp_path / "build", width=17)
    with pytest.raises(InvalidInputError, match="none was given for detect"):
        build_pack("mine", "", [made["embed"]], tmp_path / "pack")
    with pytest.raises(InvalidInputError, match="both serve embed"):
        build_pack("mine", "", [made["detect"], made["embed"], made["embed"]], tmp_path / "pack")
    with pytest.raises(
        PackError, match=r"step age_gender: its tensors are face_embedding FP32\[17\].*expected.*\[16\]"
    ):
        build_pack("mine", "", list(made.values()), tmp_path / "pack")
    assert not (tmp_path / "pack" / "pack.json").exists()
    # One that did fit is as it was after one that did not.
    build_pack("mine", "", [made["detect"], made["embed"]], tmp_path / "pack")
    with pytest.raises(PackError, match="step age_gender"):
        build_pack("mine", "", list(made.values()), tmp_path / "pack")
    assert set(verify_pack(tmp_path / "pack").models) == {"detect", "align", "embed"}
    # Folders that are called like steps are the user's own where no pack is.
    (tmp_path / "theirs" / "ethnicity").mkdir(parents=True)
    (tmp_path / "theirs" / "ethnicity" / "thesis.txt").write_text("x")
    with pytest.raises(InvalidInputError, match="holds ethnicity and is no pack"):
        build_pack("mine", "", [made["detect"], made["embed"]], tmp_path / "theirs")
    assert (tmp_path / "theirs" / "ethnicity" / "thesis.txt").exists()
    (tmp_path / "theirs" / "pack.json").write_text('{"game": 1}')
    with pytest.raises(InvalidInputError, match="is no pack"):
        build_pack("mine", "", [made["detect"], made["embed"]], tmp_path / "theirs")
    # So is what lies where a pack has nothing.
    fitting = artifacts(tmp_path / "fitting")
    (tmp_path / "pack" / AGE_GENDER).mkdir()
    (tmp_path / "pack" / AGE_GENDER / "model.onnx").write_text("x")
    with pytest.raises(InvalidInputError, match="would be overwritten"):
        build_pack("mine", "", list(fitting.values()), tmp_path / "pack")
    assert (tmp_path / "pack" / AGE_GENDER / "model.onnx").read_text() == "x"
    assert set(verify_pack(tmp_path / "pack").models) == {"detect", "align", "embed"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(InvalidInputError, match=r"holds thesis\.tex and is no pack"):
        build_pack("mine", "", [made["detect"], made["embed"]], tmp_path / "other")
    assert (tmp_path / "other" / "thesis.tex").exists()
