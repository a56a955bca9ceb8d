from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsengine.contracts import steps
from fsengine.contracts.preprocessing import CropKind, CropSpec, Preprocessing
from fsengine.errors import PackError
from fsengine.packs.pack import PACK_FILE, read_pack, verify_pack, write_pack
from packs_for_tests import official_pack, pack_model


def test_a_pack_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_pack(official_pack(), tmp_path)
    assert read_pack(tmp_path) == official_pack()


Change = Callable[[dict[str, Any]], None]

WRONG_PACKS: dict[str, tuple[Change, str]] = {
    "unknown key": (lambda r: r.update(extra=1), "unknown keys"),
    "no detector": (lambda r: r["models"].pop("detect"), "lacks a model for"),
    "unknown step": (lambda r: r["models"].update(smile=r["models"]["embed"]), "smile"),
    "too many faces": (lambda r: r.update(max_faces=257), "expected 1 to 256"),
    "no labels": (lambda r: r["labels"].pop("ethnicity"), "no labels for 'ethnicity'"),
    "other embedding": (lambda r: r.update(embedding_width=64), "expected portrait_crop"),
    "file outside": (lambda r: r["models"]["embed"].update(file="../x.onnx"), "below the pack's folder"),
    "unknown crop": (lambda r: r["preprocessing"]["portrait"].update(kind="round"), "round"),
    "crop too small": (lambda r: r["preprocessing"]["portrait"].update(side_px=1), "expected 16 to 1024"),
    "unknown dtype": (lambda r: r["models"]["embed"]["inputs"][0].update(dtype="FP8"), "FP8"),
}


@pytest.mark.parametrize("name", WRONG_PACKS)
def test_a_pack_that_is_wrong_in_one_way_is_refused(tmp_path: Path, name: str) -> None:
    change, message = WRONG_PACKS[name]
    path = write_pack(official_pack(), tmp_path)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(PackError, match=message):
        read_pack(tmp_path)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}"])
def test_a_folder_without_a_readable_description_is_no_pack(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / PACK_FILE).write_text(text)
    with pytest.raises(PackError, match=str(tmp_path)):
        read_pack(tmp_path)


def test_an_altered_file_is_found(tmp_path: Path) -> None:
    write_pack(official_pack(), tmp_path)
    with pytest.raises(PackError, match="is missing"):
        verify_pack(tmp_path)
    for model in official_pack().models.values():
        (tmp_path / model.file).parent.mkdir(exist_ok=True)
        (tmp_path / model.file).write_bytes(b"other")
    with pytest.raises(PackError, match="expected 0000"):
        verify_pack(tmp_path)


def test_a_head_that_is_off_is_absent_and_changes_the_model_set() -> None:
    whole, part = official_pack(), official_pack().without((steps.ETHNICITY,))
    assert steps.ETHNICITY not in part.models
    assert "ethnicity" not in part.labels
    assert steps.ETHNICITY not in [spec.name for spec in part.specs()]
    assert part.served().model_set_id != whole.served().model_set_id


@pytest.mark.parametrize("head", ["smile", "detect", "embed"])
def test_only_heads_can_be_switched_off(head: str) -> None:
    with pytest.raises(PackError, match="no head"):
        official_pack().without((head,))


def test_the_model_set_depends_on_models_and_preprocessing_alone() -> None:
    base = official_pack().served().model_set_id
    assert official_pack(name="renamed", description="other").served().model_set_id == base
    other = pack_model(steps.detect_spec(256), sha256="1" * 64)
    assert official_pack(models={**official_pack().models, "detect": other}).served().model_set_id != base
    crops = Preprocessing(
        portrait=CropSpec(kind=CropKind.PORTRAIT, side_px=224),
        age_gender=CropSpec(kind=CropKind.BOX, side_px=96, box_margin=2.0),
    )
    assert official_pack(preprocessing=crops).served().model_set_id != base


def test_marks_name_their_steps() -> None:
    models = dict(official_pack().models)
    models["embed"] = pack_model(steps.embed_spec(CropSpec(kind=CropKind.PORTRAIT, side_px=224), 512), marks=("lite",))
    served = official_pack(models=models).served()
    assert served.marks == {"lite": ["embed"]}
    assert served.marks_text == "lite: embed"
