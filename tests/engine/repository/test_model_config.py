from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsengine.contracts import preprocessing, steps
from fsengine.contracts.preprocessing import CropKind, CropSpec, Preprocessing
from fsengine.contracts.served import ServedModels
from fsengine.errors import InferenceError, PackError
from fsengine.packs.pack import Pack
from fsengine.packs.shipped import shipped_folder
from fsengine.repository.assemble import Target, adapt, read_canonical
from fsengine.repository.model_config import check_outputs, config_text, read_config
from fsengine.repository.queue_limits import GPU_FACTOR, QUEUED_PHOTOS
from packs_for_tests import official_pack, pack_model


def test_the_canonical_configs_are_those_of_the_official_pack() -> None:
    canonical = read_canonical()
    adapted = adapt(read_canonical(), official_pack(), Target.CONTAINER)
    adapted[steps.ENSEMBLE].ClearField("parameters")
    assert set(adapted) == set(canonical)
    for name, config in canonical.items():
        assert config_text(adapted[name]) == config_text(config)


@pytest.mark.parametrize("name", [*(spec.name for spec in official_pack().specs()), steps.DECODE_ISOLATED])
def test_every_config_states_batch_instances_and_tensors(name: str) -> None:
    config = read_canonical()[name]
    assert config.name == name
    assert [group.count for group in config.instance_group] == [1]
    assert config.input
    assert config.output
    assert (config.max_batch_size == 0) == (name == steps.ALIGN)
    assert config.HasField("dynamic_batching") == (config.max_batch_size > 0)


def test_decode_s_twin_never_merges_requests_and_is_otherwise_decode() -> None:
    decode, twin = (read_canonical()[name] for name in (steps.DECODE, steps.DECODE_ISOLATED))
    assert decode.max_batch_size > 1 == twin.max_batch_size
    assert decode.input[0].allow_ragged_batch
    decode.name, decode.max_batch_size = twin.name, twin.max_batch_size
    decode.input[0].ClearField("allow_ragged_batch")
    assert config_text(decode) == config_text(twin)


@pytest.mark.parametrize("target", list(Target))
def test_photos_that_wait_for_a_step_are_bounded_but_for_the_heads(target: Target) -> None:
    configs = adapt(read_canonical(), official_pack(), target)
    limited = {
        name: config.dynamic_batching.default_queue_policy.max_queue_size
        for name, config in configs.items()
        if config.dynamic_batching.HasField("default_queue_policy")
    }
    factor = GPU_FACTOR if target.on_gpu else 1
    assert limited == {name: factor * size for name, size in QUEUED_PHOTOS.items()}
    order = [step.model_name for step in configs[steps.ENSEMBLE].ensemble_scheduling.step]
    assert order.index(steps.EMBED) < min(order.index(head) for head in steps.HEADS)


@pytest.mark.parametrize("target", list(Target))
def test_the_isolated_ensemble_is_the_ensemble_with_decode_s_twin(target: Target) -> None:
    for pack in (official_pack(), small_pack()):
        configs = adapt(read_canonical(), pack, target)
        ensemble, twin = configs[steps.ENSEMBLE], configs[steps.ENSEMBLE_ISOLATED]
        ensemble.ClearField("parameters")
        ensemble.name = twin.name
        ensemble.ensemble_scheduling.step[0].model_name = steps.DECODE_ISOLATED
        assert config_text(ensemble) == config_text(twin)


@pytest.mark.parametrize("name", steps.ENSEMBLES)
def test_every_tensor_of_an_ensemble_is_made_once_and_before_it_is_read(name: str) -> None:
    ensemble = read_canonical()[name]
    made = {tensor.name for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        assert set(step.input_map.values()) <= made, step.model_name
        assert not made & set(step.output_map.values()), step.model_name
        made |= set(step.output_map.values())
    assert {tensor.name for tensor in ensemble.output} <= made


def test_an_ensemble_whose_output_a_step_reads_is_refused() -> None:
    for name in steps.ENSEMBLES:
        config = read_canonical()[name]
        check_outputs(config)
        align = next(step for step in config.ensemble_scheduling.step if step.model_name == steps.ALIGN)
        align.input_map["image_size"] = "image_size"
        with pytest.raises(PackError, match=f"ensemble {name}: step align reads image_size"):
            check_outputs(config)


def small_pack() -> Pack:
    """A pack that differs from the official one in all that a pack may choose."""
    crop = CropSpec(kind=CropKind.BOX, side_px=96)
    specs = [
        steps.detect_spec(32),
        steps.align_spec(32, crop, None),
        steps.embed_spec(crop, 64),
        steps.age_gender_spec(steps.face_embedding(64)),
    ]
    return official_pack(
        preprocessing=Preprocessing(portrait=crop, age_gender=None),
        max_faces=32,
        embedding_width=64,
        labels={"gender": ["female", "male"]},
        models={spec.name: pack_model(spec) for spec in specs},
    )


def test_a_head_that_a_pack_lacks_is_absent_from_steps_and_outputs() -> None:
    configs = adapt(read_canonical(), small_pack(), Target.CONTAINER)
    models = {"facestats", "decode", "detect", "align", "embed", "age_gender"}
    assert set(configs) == {*models, *steps.ENSEMBLES, steps.DECODE_ISOLATED}
    ensemble = configs[steps.ENSEMBLE]
    outputs = {tensor.name: list(tensor.dims) for tensor in ensemble.output}
    assert outputs["face_embedding"] == [-1, 64]
    crops = {tensor.name: list(tensor.dims) for tensor in configs[steps.ENSEMBLE_CROPS].output}
    assert crops["aligned_face"] == [-1, 96, 96, 3]
    assert not {"attractiveness", "ethnicity_probability"} & set(outputs)
    wiring = {step.model_name: dict(step.input_map) for step in ensemble.ensemble_scheduling.step}
    assert wiring["age_gender"] == {"face_embedding": "face_embedding_internal"}
    assert [tensor.name for tensor in configs["align"].output] == [
        "face_count",
        "face_box",
        "face_landmarks",
        "face_score",
        "portrait_crop",
    ]
    assert list(configs["detect"].output[0].dims) == [32, 4]


def test_a_graph_in_place_of_the_forest_brings_its_own_backend_names_and_classes() -> None:
    embedding = steps.face_embedding(512)
    changed = {
        steps.ETHNICITY: pack_model(steps.ethnicity_spec(512, 4, forest=False)),
        steps.AGE_GENDER: pack_model(steps.age_gender_spec(embedding, 3, with_age=False)),
    }
    pack = official_pack()
    pack = official_pack(
        models={
            **pack.models,
            **changed,
            steps.ALIGN: pack_model(steps.align_spec(256, pack.preprocessing.portrait, None)),
        },
        preprocessing=Preprocessing(portrait=pack.preprocessing.portrait, age_gender=None),
        labels={"gender": ["female", "male", "unknown"], "ethnicity": ["a", "b", "c", "d"]},
    )
    configs = adapt(read_canonical(), pack, Target.CONTAINER)
    ethnicity = configs[steps.ETHNICITY]
    # Without a backend Triton takes the one of the artifact, model.onnx or model.plan.
    assert (ethnicity.backend, ethnicity.default_model_filename, dict(ethnicity.parameters)) == ("", "", {})
    assert [tensor.name for tensor in (*ethnicity.input, *ethnicity.output)] == [
        "face_embedding",
        "ethnicity_probability",
    ]
    outputs = {tensor.name: list(tensor.dims) for tensor in configs[steps.ENSEMBLE].output}
    assert outputs["ethnicity_probability"] == [-1, 4]
    assert outputs["gender_probability"] == [-1, 3]
    assert "age_years" not in outputs


def test_an_fp16_graph_is_optimized_one_level_below_the_highest() -> None:
    pack = official_pack()
    half = pack_model(steps.embed_spec(pack.preprocessing.portrait, 512), precision="fp16")
    configs = adapt(read_canonical(), official_pack(models={**pack.models, steps.EMBED: half}), Target.PIP)
    assert configs[steps.EMBED].optimization.graph.level == 1
    assert not configs[steps.DETECT].HasField("optimization")
    with pytest.raises(PackError, match="precision 'int4', expected fp32, fp16, int8, int8-symmetric, fp8"):
        pack_model(steps.embed_spec(pack.preprocessing.portrait, 512), precision="int4")


def test_the_pip_server_gets_no_field_that_it_does_not_know() -> None:
    for target, expected in ((Target.PIP, 0), (Target.CONTAINER, 64)):
        configs = adapt(read_canonical(), official_pack(), target)
        for name in steps.ENSEMBLES:
            assert configs[name].ensemble_scheduling.max_inflight_requests == expected


def test_what_is_served_comes_back_from_the_parameters() -> None:
    ensemble = adapt(read_canonical(), official_pack(), Target.PIP)[steps.ENSEMBLE]
    parameters = {name: value.string_value for name, value in ensemble.parameters.items()}
    assert ServedModels.from_parameters(parameters) == official_pack().served()
    for contract in ({}, {"contract": "2"}, {"contract": "4"}):
        others = {name: value for name, value in parameters.items() if name != "contract"} | contract
        number = contract.get("contract", "1")
        with pytest.raises(InferenceError, match=f"contract {number}, this version sends contract 3.*assemble it"):
            ServedModels.from_parameters(others)
    del parameters["labels"]
    with pytest.raises(InferenceError, match="labels"):
        ServedModels.from_parameters(parameters)


def test_an_unknown_field_is_refused_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('name: "x" max_batch_sise: 4')
    with pytest.raises(PackError, match="max_batch_sise"):
        read_config(path)


def test_the_decode_pipeline_repeats_the_contract() -> None:
    text = (shipped_folder("model_repository") / "decode" / "1" / "dali.py").read_text()
    for name in ("DETECTOR_SIDE_PX", "MAX_SIDE_PX", "LEAST_SIDE_PX"):
        found = re.search(rf"^{name} = (\d+)$", text, re.MULTILINE)
        assert found is not None
        assert int(found[1]) == getattr(preprocessing, name)
