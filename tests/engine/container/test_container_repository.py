"""What the container reads of a repository, and how it comes to the one that it serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fake_programs import PLANS, write_repository
from fsengine.container.repository_choice import given_folder, place_repository
from fsengine.container.repository_state import read_state
from fsengine.errors import Action, InvalidInputError, PackError, Remedy
from fsengine.packs.shipped import shipped_folder
from fsengine.plans.built_plans import BUILT
from fsengine.repository.assemble import Target


def test_a_repository_with_plans_says_what_they_are_for(tmp_path: Path) -> None:
    state = read_state(write_repository(tmp_path / "repository", target="gpu", plans=PLANS))
    assert state.plans is not None
    assert (state.plans.tensorrt, state.plans.gpu) == ("11.4.0.106", "NVIDIA H100 80GB HBM3")
    assert state.plans.of(BUILT) == ["detect", "embed"]
    assert "plans of detect, embed" in state.text
    assert state.needs_gpu


def test_graphs_for_the_container_need_no_gpu_and_those_for_the_gpu_do(tmp_path: Path) -> None:
    assert not read_state(write_repository(tmp_path / "cpu")).needs_gpu
    assert read_state(write_repository(tmp_path / "gpu", target="gpu")).needs_gpu


def break_manifest(folder: Path) -> None:
    (folder / "facestats.json").unlink()


def break_served(folder: Path) -> None:
    (folder / "facestats.json").write_text(json.dumps({"target": "gpu"}))


def break_json(folder: Path) -> None:
    (folder / "plans.json").write_text('{"tensorrt": ')


def break_version(folder: Path) -> None:
    (folder / "plans.json").write_text(json.dumps({**PLANS, "tensorrt": None}))


def empty_artifact(folder: Path) -> None:
    (folder / "align" / "1" / "model.onnx").write_text("")


def lose_step(folder: Path) -> None:
    shutil.rmtree(folder / "decode")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (break_manifest, r"no facestats.json.*It holds align, decode, detect, embed, facestats"),
        (break_served, r"cannot be read .*'served'"),
        (break_json, "plans.json cannot be read"),
        (break_version, r"plans.json cannot be read .*tensorrt.* build it again"),
        (empty_artifact, "align holds no artifact to serve"),
        (lose_step, "lacks steps of the ensemble"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, break_it: object, said: str) -> None:
    folder = write_repository(tmp_path / "repository", target="gpu", plans=PLANS)
    assert callable(break_it)
    break_it(folder)
    with pytest.raises(PackError, match=said):
        read_state(folder)


def test_no_folder_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="There is no such folder"):
        read_state(tmp_path / "nowhere")


def test_without_a_pack_the_demo_is_assembled_once(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    out = tmp_path / "container"
    state = place_repository(None, out, Target.CONTAINER)
    assert (state.pack, state.target, state.needs_gpu) == ("lite", Target.CONTAINER, False)
    made = (out / "facestats.json").stat().st_ino
    place_repository(None, out, Target.CONTAINER)
    assert (out / "facestats.json").stat().st_ino == made


def test_a_pack_is_assembled(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pack = Path(shutil.copytree(shipped_folder("packs") / "lite", tmp_path / "mine"))
    record = json.loads((pack / "pack.json").read_text())
    (pack / "pack.json").write_text(json.dumps({**record, "name": "mine"}))
    assert place_repository(pack, tmp_path / "container", Target.CONTAINER).pack == "mine"


def test_a_repository_is_linked_and_given_up_again(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    given, out = write_repository(tmp_path / "given"), tmp_path / "models" / "container"
    before = sorted(path.name for path in given.iterdir())
    place_repository(None, out, Target.CONTAINER)
    place_repository(given, out, Target.CONTAINER)
    assert out.readlink() == given
    place_repository(given, out, Target.CONTAINER)
    assert not place_repository(None, out, Target.CONTAINER).folder.is_symlink()
    assert sorted(path.name for path in given.iterdir()) == before
    assert [path.name for path in out.parent.iterdir()] == ["container"]


def test_a_repository_for_another_server_is_refused(tmp_path: Path) -> None:
    given = write_repository(tmp_path / "given", target="pip")
    with pytest.raises(PackError, match="for the target pip, expected container; assemble the pack lite") as refused:
        place_repository(given, tmp_path / "container", Target.CONTAINER)
    assert refused.value.remedy == Remedy(Action.ASSEMBLE, "container")


def test_a_folder_of_something_else_is_neither_served_nor_overwritten(tmp_path: Path) -> None:
    given = write_repository(tmp_path / "given")
    with pytest.raises(PackError, match="FACESTATS_PACK"):
        place_repository(tmp_path / "given" / "detect", tmp_path / "container", Target.CONTAINER)
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter1.tex").write_text("years of work")
    with pytest.raises(PackError, match="something other"):
        place_repository(given, thesis, Target.CONTAINER)
    assert (thesis / "chapter1.tex").is_file()


@pytest.mark.parametrize(("given", "out"), [("g", "g"), ("g", "g/inner"), ("g/inner", "g"), ("link", "g")])
def test_what_is_given_is_never_written_to(given: str, out: str, tmp_path: Path) -> None:
    write_repository(tmp_path / "g")
    write_repository(tmp_path / "g" / "inner")
    (tmp_path / "link").symlink_to(tmp_path / "g")
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    with pytest.raises(InvalidInputError, match="lie in each other"):
        place_repository(tmp_path / given, tmp_path / out, Target.CONTAINER)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_a_link_to_what_was_given_holds_wherever_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_repository(tmp_path / "given")
    monkeypatch.chdir(tmp_path)
    place_repository(Path("given"), Path("models/container"), Target.CONTAINER)
    assert read_state(tmp_path / "models" / "container").pack == "lite"


def test_only_where_nothing_is_given_is_it_the_demo_pack(tmp_path: Path) -> None:
    assert given_folder(Path("/dev/null")) is None
    assert given_folder(tmp_path) == tmp_path
    (tmp_path / "file").touch()
    for wrong in ("file", "nowhere"):
        with pytest.raises(InvalidInputError, match="is no folder; expected"):
            given_folder(tmp_path / wrong)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PackError, match="cannot be written"):
        place_repository(write_repository(tmp_path / "given"), tmp_path / "file" / "x", Target.CONTAINER)
