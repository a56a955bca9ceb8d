"""Descriptions of packs, without artifacts."""

from __future__ import annotations

from typing import Any

from fsengine.contracts import steps
from fsengine.contracts.preprocessing import CropKind, CropSpec, Preprocessing
from fsengine.contracts.served import ETHNICITY, GENDER
from fsengine.contracts.tensors import ModelSpec
from fsengine.packs.pack import Pack, PackModel

OFFICIAL = Preprocessing(
    portrait=CropSpec(kind=CropKind.PORTRAIT, side_px=224),
    age_gender=CropSpec(kind=CropKind.BOX, side_px=96),
)
ETHNICITIES = ["White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"]


def pack_model(spec: ModelSpec, **changes: Any) -> PackModel:
    values: dict[str, Any] = {
        "file": f"{spec.name}/checkpoint.tl" if spec.inputs[0].name == steps.FIL_INPUT else f"{spec.name}/model.onnx",
        "sha256": "0" * 64,
        "precision": "fp32",
        "licence": "MIT",
        "commercial_use": True,
        "source": "a test",
        "source_sha256": {},
        "provenance": {"exporter": "a test"},
        "marks": (),
        "inputs": spec.inputs,
        "outputs": spec.outputs,
    }
    return PackModel(**{**values, **changes})


def official_pack(**changes: Any) -> Pack:
    """Return a pack like the `official` one: the canonical repository is its."""
    assert OFFICIAL.age_gender is not None
    specs = [
        steps.detect_spec(256),
        steps.align_spec(256, OFFICIAL.portrait, OFFICIAL.age_gender),
        steps.embed_spec(OFFICIAL.portrait, 512),
        steps.attractiveness_spec(512),
        steps.ethnicity_spec(512, 7),
        steps.age_gender_spec(steps.age_gender_crop(OFFICIAL.age_gender)),
    ]
    values: dict[str, Any] = {
        "name": "official",
        "description": "a test",
        "preprocessing": OFFICIAL,
        "max_faces": 256,
        "embedding_width": 512,
        "labels": {GENDER: ["female", "male"], ETHNICITY: ETHNICITIES},
        "models": {spec.name: pack_model(spec) for spec in specs},
    }
    return Pack(**{**values, **changes})
