from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fsengine.contracts import steps
from fsengine.errors import PackError
from fsengine.files.hashing import file_sha256
from fsengine.packs.shipped import shipped_folder
from fsengine.repository.assemble import GOLDEN_FILE, MANIFEST_FILE, Target, assemble, is_repository
from fsengine.repository.model_config import read_config

pytest.importorskip("onnxruntime")


@pytest.fixture
def lite(tmp_path: Path) -> Path:
    """A copy of the lite pack."""
    return Path(shutil.copytree(shipped_folder("packs") / "lite", tmp_path / "lite"))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("target", list(Target))
def test_a_repository_holds_every_step_with_config_and_artifact(lite: Path, tmp_path: Path, target: Target) -> None:
    pack = assemble(lite, tmp_path / "repository", target=target)
    expected = {MANIFEST_FILE}
    for ensemble in steps.ENSEMBLES:
        expected |= {f"{ensemble}/config.pbtxt"}
    for step in (steps.DECODE, steps.DECODE_ISOLATED):
        expected |= {f"{step}/config.pbtxt", f"{step}/1/dali.py"}
    for step in ("detect", "align", "embed", "age_gender"):
        expected |= {f"{step}/config.pbtxt", f"{step}/1/model.onnx"}
    expected |= {"ethnicity/config.pbtxt", "ethnicity/1/checkpoint.tl"}
    if target.on_gpu:
        expected |= {GOLDEN_FILE, "decode/warmup/photo", "decode_isolated/warmup/photo"}
    repository = tmp_path / "repository"
    assert files(repository) == expected
    for ensemble in steps.ENSEMBLES:
        assert (repository / ensemble / "1").is_dir()
    parameters = read_config(repository / steps.ENSEMBLE / "config.pbtxt").parameters
    assert parameters["model_set_id"].string_value == pack.served().model_set_id


@pytest.mark.parametrize(
    ("target", "limit", "expected"),
    [(Target.PIP, 1 << 30, 2), (Target.PIP, 1000, 1), (Target.PIP_GPU, 1 << 30, 1), (Target.CONTAINER, 1 << 30, 1)],
)
def test_a_small_encoder_and_its_detector_run_twice_on_the_cpu_of_the_embedded_server(
    lite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Target, limit: int, expected: int
) -> None:
    monkeypatch.setattr("fsengine.repository.assemble.SMALL_ENCODER_BYTES", limit)
    assemble(lite, tmp_path / "repository", target=target)
    counts = {
        step: read_config(tmp_path / "repository" / step / "config.pbtxt").instance_group[0].count
        for step in ("decode", "detect", "align", "embed")
    }
    assert counts == {"decode": 1, "detect": expected, "align": 1, "embed": expected}


def test_both_decode_steps_run_the_one_pipeline_of_the_tree(lite: Path, tmp_path: Path) -> None:
    assemble(lite, tmp_path / "repository", target=Target.PIP)
    (source,) = shipped_folder("model_repository").rglob("*.py")
    for step in (steps.DECODE, steps.DECODE_ISOLATED):
        assert (tmp_path / "repository" / step / "1" / "dali.py").read_bytes() == source.read_bytes()


def test_an_assembly_is_repeated_only_when_something_changed(lite: Path, tmp_path: Path) -> None:
    out = tmp_path / "repository"
    assemble(lite, out, target=Target.PIP)
    first = (out / "decode" / "config.pbtxt").stat().st_ino
    assemble(lite, out, target=Target.PIP)
    assert (out / "decode" / "config.pbtxt").stat().st_ino == first
    assemble(lite, out, target=Target.PIP, without=(steps.ETHNICITY,))
    assert not (out / "ethnicity").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lite", "repository"]


def test_an_altered_artifact_leaves_no_repository(lite: Path, tmp_path: Path) -> None:
    with (lite / "embed" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(PackError, match=r"embed.*was altered"):
        assemble(lite, tmp_path / "repository", target=Target.PIP)
    assert not is_repository(tmp_path / "repository")
    assert [path.name for path in tmp_path.iterdir()] == ["lite"]


def test_a_graph_that_breaks_its_contract_is_refused(lite: Path, tmp_path: Path) -> None:
    shutil.copy(lite / "age_gender" / "model.onnx", lite / "embed" / "model.onnx")
    record = json.loads((lite / "pack.json").read_text())
    record["models"]["embed"]["sha256"] = file_sha256(lite / "embed" / "model.onnx")
    (lite / "pack.json").write_text(json.dumps(record))
    with pytest.raises(PackError, match=r"inputs are \['face_embedding'\], the contract of embed has"):
        assemble(lite, tmp_path / "repository", target=Target.PIP)


def test_a_file_that_is_no_graph_is_refused(lite: Path, tmp_path: Path) -> None:
    (lite / "embed" / "model.onnx").write_bytes(b"no graph")
    record = json.loads((lite / "pack.json").read_text())
    record["models"]["embed"]["sha256"] = file_sha256(lite / "embed" / "model.onnx")
    (lite / "pack.json").write_text(json.dumps(record))
    with pytest.raises(PackError, match="does not load in ONNX Runtime"):
        assemble(lite, tmp_path / "repository", target=Target.PIP)


def test_a_folder_with_something_else_is_left_alone(lite: Path, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.tex").write_text("years of work")
    with pytest.raises(PackError, match="choose another folder"):
        assemble(lite, out, target=Target.PIP)
    assert (out / "chapter1.tex").read_text() == "years of work"


def spoil_config(repository: Path) -> None:
    (repository / "embed" / "config.pbtxt").write_text("")


def lose_graph(repository: Path) -> None:
    (repository / "embed" / "1" / "model.onnx").unlink()


def cut_graph(repository: Path) -> None:
    graph = repository / "embed" / "1" / "model.onnx"
    data = graph.read_bytes()[:-1]
    graph.unlink()  # it is a hard link to the pack's
    graph.write_bytes(data)


def add_plan(repository: Path) -> None:
    (repository / "embed" / "1" / "model.plan").touch()


@pytest.mark.parametrize("damage", [spoil_config, lose_graph, cut_graph, add_plan])
def test_a_damaged_repository_is_made_again(lite: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    out = tmp_path / "repository"
    assemble(lite, out, target=Target.PIP)
    whole = {name: (out / name).read_bytes() for name in files(out)}
    damage(out)
    assemble(lite, out, target=Target.PIP)
    assert {name: (out / name).read_bytes() for name in files(out)} == whole


def test_a_pack_whose_files_are_links_is_assembled_from_what_they_point_to(lite: Path, tmp_path: Path) -> None:
    graph = lite / "embed" / "model.onnx"
    graph.rename(lite / "blob")
    graph.symlink_to("../blob")
    assemble(lite, tmp_path / "deep" / "er" / "repository", target=Target.PIP)
    made = tmp_path / "deep" / "er" / "repository" / "embed" / "1" / "model.onnx"
    assert not made.is_symlink()
    assert made.read_bytes() == (lite / "blob").read_bytes()
