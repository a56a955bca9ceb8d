"""Shapes that plans are built for, and what a plan's key depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fsengine.contracts import steps
from fsengine.contracts.tensors import DType, ModelSpec, TensorSpec
from fsengine.packs.pack import read_pack
from fsengine.packs.shipped import shipped_folder
from fsengine.plans.build_key import BuildSettings, PlanKey
from fsengine.plans.profile import InputProfile, batch_buckets, profile_of

SPECS = {spec.name: spec for spec in read_pack(shipped_folder("packs") / "lite").specs()}


@pytest.mark.parametrize("name", [steps.DETECT, steps.EMBED, steps.AGE_GENDER])
def test_a_batching_step_is_built_for_one_row_to_its_limit(name: str) -> None:
    spec = SPECS[name]
    for item, tensor in zip(profile_of(spec), spec.inputs, strict=True):
        assert item.name == tensor.name
        assert item.least == (1, *tensor.shape)
        assert item.greatest == (spec.max_batch_size, *tensor.shape)
        assert item.typical[1:] == tensor.shape
        assert 1 <= item.typical[0] <= spec.max_batch_size


def test_align_is_built_for_photos_of_every_size_up_to_the_cap() -> None:
    profile = {item.name: item for item in profile_of(SPECS[steps.ALIGN])}
    assert (profile["image"].least, profile["image"].greatest) == ((1, 32, 32, 3), (1, 2048, 2048, 3))
    fixed = [item for name, item in profile.items() if name != "image"]
    assert len(fixed) == 5
    assert all(item.least == item.typical == item.greatest for item in fixed)


def test_other_dynamic_axes_are_refused() -> None:
    rows = TensorSpec(name="rows", dtype=DType.FP32, shape=(-1, 4))
    with pytest.raises(ValueError, match="expected fixed rows in a batch"):
        profile_of(ModelSpec(name="x", max_batch_size=4, inputs=(rows,), outputs=(rows,)))
    with pytest.raises(ValueError, match="expected those of a photo alone"):
        profile_of(ModelSpec(name="x", max_batch_size=0, inputs=(rows,), outputs=(rows,)))


@pytest.mark.parametrize("shapes", [((2,), (1,), (3,)), ((1,), (2,), (1,)), ((0,), (1,), (2,)), ((1,), (1, 1), (1, 1))])
def test_shapes_must_grow(shapes: tuple[tuple[int, ...], ...]) -> None:
    least, typical, greatest = shapes
    with pytest.raises(ValueError, match="must have one rank and grow"):
        InputProfile(name="x", least=least, typical=typical, greatest=greatest)


@pytest.mark.parametrize(
    ("limit", "buckets"),
    [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (16, (1, 2, 4, 8, 16)), (256, (1, 2, 4, 8, 16, 32, 64, 128, 256))],
)
def test_batch_buckets_end_at_the_limit(limit: int, buckets: tuple[int, ...]) -> None:
    assert batch_buckets(limit) == buckets


def key() -> PlanKey:
    return PlanKey(
        onnx_sha256="0" * 64,
        tensorrt="11.4.0.106",
        compute_capability="9.0",
        gpu="NVIDIA H200",
        profile=profile_of(SPECS[steps.EMBED]),
        settings=BuildSettings(),
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"onnx_sha256": "1" * 64},
        {"tensorrt": "11.3.0.99"},
        {"compute_capability": "10.0"},
        {"gpu": "NVIDIA H100"},
        {"profile": profile_of(SPECS[steps.DETECT])},
        {"settings": BuildSettings(tf32=False)},
        {"settings": BuildSettings(optimization_level=5)},
        {"settings": BuildSettings(workspace_mib=1024)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_key_changes_with_all_that_a_plan_depends_on(changed: dict[str, object]) -> None:
    assert key().key == key().key
    assert replace(key(), **changed).key != key().key  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"optimization_level": 6}, {"optimization_level": -1}, {"workspace_mib": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="needs optimization_level 0 to 5"):
        BuildSettings(**wrong)  # type: ignore[arg-type]
