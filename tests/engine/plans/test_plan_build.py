"""A repository with plans: what is compiled, what stays with ONNX Runtime. The compiler is a stand-in."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fsengine.contracts import steps
from fsengine.errors import Action, InvalidInputError, PackError, Remedy
from fsengine.files.hashing import file_sha256
from fsengine.packs.shipped import shipped_folder
from fsengine.plans.build import BuildRequest, build_plans
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.built_plans import BUILT, KEPT, PLANS_FILE, REFUSED, PlansRecord, read_plans, write_plans
from fsengine.plans.gpu_defaults import gpu_defaults, photos_in_flight
from fsengine.plans.profile import batch_buckets
from fsengine.plans.stored_plans import plans_folder, timing_cache_path
from fsengine.plans.toolchain import OnPhase
from fsengine.repository.assemble import GOLDEN_FILE, MANIFEST_FILE, Target, assemble
from fsengine.repository.model_config import config_text, read_config
from plan_toolchain import H200, GraphToolchain

pytest.importorskip("onnxruntime")

PLANNED = ("align", "detect", "embed", "age_gender")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs") / "repository"
    assemble(shipped_folder("packs") / "lite", folder, target=Target.GPU)
    return folder


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESTATS_MODELS", str(tmp_path / "models"))


@contextlib.contextmanager
def silent(step: str) -> Iterator[OnPhase]:
    yield lambda *_: True


def build(graphs: Path, out: Path, toolchain: GraphToolchain, **changes: Any) -> tuple[PlansRecord, list[str]]:
    said: list[str] = []
    request = BuildRequest(repository=graphs, out=out, settings=BuildSettings())
    return build_plans(replace(request, **changes), toolchain, said.append, silent), said


def test_plans_take_the_place_of_graphs_and_say_what_they_are_for(graphs: Path, tmp_path: Path) -> None:
    toolchain = GraphToolchain()
    record, _ = build(graphs, tmp_path / "out", toolchain)
    assert set(toolchain.compiled) == set(PLANNED)
    assert (record.tensorrt, record.gpu, record.num_gpus) == ("11.4.0.106", "NVIDIA H200", 1)
    assert record.of(BUILT) == sorted(PLANNED)
    assert not record.checked  # no server has answered with it yet
    assert read_plans(tmp_path / "out") == record
    for step in PLANNED:
        version = tmp_path / "out" / step / "1"
        assert [path.name for path in version.iterdir()] == ["model.plan"]
        assert file_sha256(version / "model.plan") == file_sha256(graphs / step / "1" / "model.onnx")
        assert read_config(tmp_path / "out" / step / "config.pbtxt").metric_tags["plan"] == BUILT
    for name in (MANIFEST_FILE, GOLDEN_FILE, "decode/warmup/photo"):
        assert (tmp_path / "out" / name).read_bytes() == (graphs / name).read_bytes()
    assert (tmp_path / "out" / "ethnicity" / "1" / "checkpoint.tl").is_file()
    assert (tmp_path / "out" / "decode" / "1" / "dali.py").is_file()


def test_it_is_made_for_its_models_and_its_gpus_alone(graphs: Path, tmp_path: Path) -> None:
    record, _ = build(graphs, tmp_path / "out", GraphToolchain())
    assert record.made_for(graphs, H200, 1)
    assert not record.made_for(graphs, H200, 2)
    assert not record.made_for(graphs, replace(H200, name="NVIDIA L4"), 1)
    assemble(shipped_folder("packs") / "lite", tmp_path / "other", target=Target.GPU, without=("age_gender",))
    assert not record.made_for(tmp_path / "other", H200, 1)


def test_a_graph_that_is_refused_stays_and_is_named_and_the_others_are_built(graphs: Path, tmp_path: Path) -> None:
    record, said = build(graphs, tmp_path / "out", GraphToolchain(refused=["align", "embed"]), keep_onnx=("detect",))
    assert {step: plan.state for step, plan in record.steps.items()} == {
        "age_gender": BUILT,
        "align": REFUSED,
        "detect": KEPT,
        "embed": REFUSED,
    }
    assert sum("STAYS WITH ONNX RUNTIME" in line and "no importer" in line for line in said) == 2
    assert (tmp_path / "out" / "align" / "1" / "model.onnx").is_file()
    align = read_config(tmp_path / "out" / "align" / "config.pbtxt")
    assert align.metric_tags["plan"] == REFUSED
    (accelerator,) = align.optimization.execution_accelerators.gpu_execution_accelerator
    assert dict(accelerator.parameters) == {"prefer_nhwc": "1"}


def test_a_detector_of_convolutions_without_a_plan_sees_photos_one_by_one(graphs: Path, tmp_path: Path) -> None:
    build(graphs, tmp_path / "out", GraphToolchain(refused=PLANNED))
    detect = read_config(tmp_path / "out" / "detect" / "config.pbtxt")
    assert detect.max_batch_size == 1
    assert detect.instance_group[0].count == 4
    assert [request.batch_size for request in detect.model_warmup] == [1]
    # A photo's faces come together, however many they are.
    assert read_config(tmp_path / "out" / "embed" / "config.pbtxt").max_batch_size == 256


def test_every_graph_may_be_refused(graphs: Path, tmp_path: Path) -> None:
    record, _ = build(graphs, tmp_path / "out", GraphToolchain(refused=PLANNED))
    assert record.of(REFUSED) == sorted(PLANNED)
    assert not list((tmp_path / "out").glob("*/1/model.plan"))


def test_a_step_to_keep_that_is_not_there_is_told_and_stops_nothing(graphs: Path, tmp_path: Path) -> None:
    record, said = build(graphs, tmp_path / "out", GraphToolchain(), keep_onnx=("ethnicity", "align"))
    assert record.of(KEPT) == ["align"]
    assert any("no graph of ethnicity" in line for line in said)


def test_cuda_graphs_are_captured_for_every_bucket_and_leave_no_gap(graphs: Path, tmp_path: Path) -> None:
    build(graphs, tmp_path / "out", GraphToolchain())
    for step in ("embed", "age_gender"):
        config = read_config(tmp_path / "out" / step / "config.pbtxt")
        assert config.optimization.cuda.graphs
        spans = [(spec.graph_lower_bound.batch_size, spec.batch_size) for spec in config.optimization.cuda.graph_spec]
        assert [last for _, last in spans] == list(batch_buckets(config.max_batch_size))
        assert [first for first, _ in spans] == [1, *(last + 1 for _, last in spans[:-1])]
        for spec in config.optimization.cuda.graph_spec:
            assert {tensor.name: list(tensor.dims) for tensor in config.input} == {
                name: list(shape.dim) for name, shape in spec.input.items()
            }
    # The data decide how many faces there are, so their shapes are not known when a graph is captured.
    for step in ("detect", "align"):
        assert not read_config(tmp_path / "out" / step / "config.pbtxt").optimization.cuda.graphs
    align = read_config(tmp_path / "out" / "align" / "config.pbtxt")
    assert not align.optimization.HasField("execution_accelerators")
    assert not align.parameters


def test_a_second_build_takes_the_plans_from_the_store(graphs: Path, tmp_path: Path) -> None:
    build(graphs, tmp_path / "out", GraphToolchain())
    again = GraphToolchain()
    _, said = build(graphs, tmp_path / "out", again)
    assert not again.compiled
    assert sum("is there already" in line for line in said) == len(PLANNED)
    other = GraphToolchain(version="11.5.0.1")
    build(graphs, tmp_path / "out", other)
    assert set(other.compiled) == set(PLANNED)
    assert json.loads((tmp_path / "out" / PLANS_FILE).read_text())["tensorrt"] == "11.5.0.1"


def test_an_altered_plan_is_built_again(graphs: Path, tmp_path: Path) -> None:
    build(graphs, tmp_path / "out", GraphToolchain())
    shutil.rmtree(tmp_path / "out")
    for plan in plans_folder().glob("plan-*/model.plan"):
        with plan.open("ab") as file:
            file.write(b"\0")
    again = GraphToolchain()
    build(graphs, tmp_path / "out", again)
    assert set(again.compiled) == set(PLANNED)


def test_timings_of_kernels_are_kept_by_version_and_gpu(graphs: Path, tmp_path: Path) -> None:
    build(graphs, tmp_path / "out", GraphToolchain())
    assert timing_cache_path("11.4.0.106", H200).read_bytes() == b"timings"
    assert timing_cache_path("11.5.0.1", H200) != timing_cache_path("11.4.0.106", H200)
    assert timing_cache_path("11.4.0.106", replace(H200, name="L4")) != timing_cache_path("11.4.0.106", H200)


@pytest.mark.parametrize("memory_mib", [H200.memory_mib, 23034, 8192])
def test_the_defaults_of_the_gpu_are_in_the_configurations(memory_mib: int, graphs: Path, tmp_path: Path) -> None:
    gpu = replace(H200, memory_mib=memory_mib)
    toolchain = GraphToolchain(gpu=gpu)
    build(graphs, tmp_path / "out", toolchain, num_gpus=2)
    defaults, (main, other) = gpu_defaults(memory_mib), photos_in_flight(memory_mib, 2)
    for path in tmp_path.glob("out/*/config.pbtxt"):
        config = read_config(path)
        if config.name in steps.ENSEMBLES:
            limit = main if config.name == steps.ENSEMBLE else other
            assert config.ensemble_scheduling.max_inflight_requests == limit
            continue
        assert config.instance_group[0].count == defaults.instances(config.name)
        # What the ensembles let in, no step refuses.
        queue = config.dynamic_batching.default_queue_policy.max_queue_size
        assert queue == 0 or queue >= main + 2 * other
    assert read_config(tmp_path / "out" / "decode" / "config.pbtxt").max_batch_size == defaults.decode_batch
    assert read_config(tmp_path / "out" / "decode_isolated" / "config.pbtxt").max_batch_size == 1
    detect = read_config(tmp_path / "out" / "detect" / "config.pbtxt")
    assert detect.max_batch_size == defaults.detect_batch
    # The plan is built for the batches that its configuration lets come.
    assert toolchain.compiled["detect"][0].greatest[0] == defaults.detect_batch


def test_the_pip_package_s_triton_gets_no_field_that_it_does_not_know(tmp_path: Path) -> None:
    assemble(shipped_folder("packs") / "lite", tmp_path / "graphs", target=Target.PIP_GPU)
    build(tmp_path / "graphs", tmp_path / "out", GraphToolchain())
    for name in steps.ENSEMBLES:
        scheduling = read_config(tmp_path / "out" / name / "config.pbtxt").ensemble_scheduling
        assert scheduling.max_inflight_requests == 0


def test_only_one_build_at_a_time_and_what_a_killed_one_left_is_removed(graphs: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out-gpu-abc"
    (left / "repository").mkdir(parents=True)
    build(graphs, tmp_path / "out", GraphToolchain())
    assert not left.exists()
    with (plans_folder() / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PackError, match="another fsengine build is running"):
            build(graphs, tmp_path / "out", GraphToolchain())


def test_what_is_no_repository_and_what_has_plans_is_refused(graphs: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"is no assembled repository; make one: assemble a pack") as absent:
        build(tmp_path, tmp_path / "out", GraphToolchain())
    assert absent.value.remedy == Remedy(Action.ASSEMBLE, "gpu")
    assemble(shipped_folder("packs") / "lite", tmp_path / "cpu", target=Target.PIP)
    with pytest.raises(InvalidInputError, match=r"was assembled for the target pip, expected gpu or pip-gpu; make one"):
        build(tmp_path / "cpu", tmp_path / "out", GraphToolchain())
    for out in (graphs, graphs / "inside" / "it"):
        with pytest.raises(InvalidInputError, match="--out is the repository itself, or inside it"):
            build(graphs, out, GraphToolchain())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(InvalidInputError, match="holds something other than a repository for a GPU"):
        build(graphs, tmp_path / "full", GraphToolchain())
    build(graphs, tmp_path / "out", GraphToolchain())
    with pytest.raises(InvalidInputError, match="has plans already"):
        build(tmp_path / "out", tmp_path / "more", GraphToolchain())


def test_a_damaged_record_is_named(graphs: Path, tmp_path: Path) -> None:
    record, _ = build(graphs, tmp_path / "out", GraphToolchain())
    write_plans(tmp_path / "out", replace(record, checked=True))
    again = read_plans(tmp_path / "out")
    assert again is not None
    assert again.checked
    (tmp_path / "out" / PLANS_FILE).write_text("{")
    with pytest.raises(PackError, match=r"plans\.json cannot be read .*; remove .* and build it again"):
        read_plans(tmp_path / "out")
    assert read_plans(tmp_path) is None


def test_the_cpu_s_int8_is_not_compiled(graphs: Path, tmp_path: Path) -> None:
    shutil.copytree(graphs, tmp_path / "graphs")
    path = tmp_path / "graphs" / "facestats" / "config.pbtxt"
    config = read_config(path)
    models = json.loads(config.parameters["models"].string_value)
    models["embed"] = models["embed"].replace("-fp32", "-int8")
    config.parameters["models"].string_value = json.dumps(models)
    path.write_text(config_text(config))
    record, said = build(tmp_path / "graphs", tmp_path / "out", GraphToolchain())
    assert record.of(REFUSED) == ["embed"]
    assert any("its graph is int8" in line and "--precision int8-symmetric" in line for line in said)
