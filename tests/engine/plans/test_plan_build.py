"""A repository with plans: every plan compared with its graph, all or none installed. The compiler is a stand-in."""

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
from PIL import Image

from fsengine.contracts import steps
from fsengine.errors import Action, ExportError, InvalidInputError, PackError, Remedy, ServerError
from fsengine.files.hashing import file_sha256
from fsengine.packs.shipped import shipped_folder, shipped_photos
from fsengine.plans.build import BuildRequest, build_repository
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.built_plans import PLANS_FILE
from fsengine.plans.layout import GpuLayout
from fsengine.plans.profile import batch_buckets
from fsengine.plans.stored_plans import plans_folder, timing_cache_path
from fsengine.plans.tensorrt.builder import OnPhase
from fsengine.repository.assemble import MANIFEST_FILE, Target, assemble
from fsengine.repository.model_config import config_text, read_config
from plan_toolchain import H200, GraphToolchain, scaled

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


def build(graphs: Path, out: Path, toolchain: GraphToolchain, **changes: Any) -> tuple[GpuLayout, list[str]]:
    said: list[str] = []
    request = BuildRequest(repository=graphs, out=out, photos=shipped_photos()[:2], settings=BuildSettings())
    return build_repository(replace(request, **changes), toolchain, said.append, silent), said


def test_plans_take_the_place_of_graphs_and_say_what_they_need(graphs: Path, tmp_path: Path) -> None:
    toolchain = GraphToolchain()
    build(graphs, tmp_path / "out", toolchain)
    assert set(toolchain.compiled) == set(PLANNED)
    record = json.loads((tmp_path / "out" / PLANS_FILE).read_text())
    assert (record["tensorrt"], record["compute_capability"], record["gpu"]) == ("11.4.0.106", "9.0", "NVIDIA H200")
    for step in PLANNED:
        version = tmp_path / "out" / step / "1"
        assert sorted(path.name for path in version.iterdir()) == ["model.plan"]
        assert record["models"][step]["sha256"] == file_sha256(version / "model.plan")
        assert max(record["models"][step]["parity"].values()) == 0
    assert (tmp_path / "out" / MANIFEST_FILE).read_text() == (graphs / MANIFEST_FILE).read_text()
    assert (tmp_path / "out" / "ethnicity" / "1" / "checkpoint.tl").is_file()
    assert (tmp_path / "out" / "decode" / "1" / "dali.py").is_file()
    assert all(engine.closed for engine in toolchain.engines)


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
    assert not again.engines
    assert not any("ONNX Runtime" in line for line in said)
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


@pytest.mark.parametrize(
    ("output", "step"),
    [("detected_box", "detect"), ("face_embedding", "embed"), ("age_years", "age_gender"), ("face_box", "align")],
)
def test_a_plan_that_differs_from_its_graph_is_not_installed(
    output: str, step: str, graphs: Path, tmp_path: Path
) -> None:
    toolchain = GraphToolchain()
    toolchain.spoil = scaled(1.02, output)
    with pytest.raises(ExportError, match=rf"the plan of {step} differs .*{output} by 0\.02 .*--keep-onnx {step}"):
        build(graphs, tmp_path / "out", toolchain)
    assert not (tmp_path / "out").exists()
    assert step not in {json.loads(path.read_text())["made_of"]["profile"][0]["name"] for path in _records()}
    assert not list(plans_folder().glob("unfinished-*"))
    assert all(engine.closed for engine in toolchain.engines)


def _records() -> list[Path]:
    return sorted(plans_folder().glob("plan-*/plan.json"))


def test_not_a_number_is_never_parity(graphs: Path, tmp_path: Path) -> None:
    toolchain = GraphToolchain()
    toolchain.spoil = scaled(float("nan"), "face_embedding")
    with pytest.raises(ExportError, match="the plan of embed differs"):
        build(graphs, tmp_path / "out", toolchain)


def test_a_plan_that_finds_no_face_is_refused(graphs: Path, tmp_path: Path) -> None:
    toolchain = GraphToolchain()
    toolchain.spoil = scaled(0.0, "detected_score")
    with pytest.raises(ExportError, match="one finds no face on sample 0"):
        build(graphs, tmp_path / "out", toolchain)


def test_a_failed_build_leaves_the_repository_that_is_there(graphs: Path, tmp_path: Path) -> None:
    build(graphs, tmp_path / "out", GraphToolchain())
    before = (tmp_path / "out" / PLANS_FILE).read_text()
    broken = GraphToolchain(version="11.5.0.1")
    broken.spoil = scaled(2.0)
    with pytest.raises(ExportError):
        build(graphs, tmp_path / "out", broken)
    assert (tmp_path / "out" / PLANS_FILE).read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "out"]


def test_steps_may_stay_with_onnx_runtime(graphs: Path, tmp_path: Path) -> None:
    toolchain = GraphToolchain()
    build(graphs, tmp_path / "out", toolchain, keep_onnx=("align",))
    assert set(toolchain.compiled) == set(PLANNED) - {"align"}
    assert (tmp_path / "out" / "align" / "1" / "model.onnx").is_file()
    align = read_config(tmp_path / "out" / "align" / "config.pbtxt")
    (accelerator,) = align.optimization.execution_accelerators.gpu_execution_accelerator
    assert dict(accelerator.parameters) == {"prefer_nhwc": "1"}
    with pytest.raises(InvalidInputError, match=r"no graph of \['ethnicity'\] to keep"):
        build(graphs, tmp_path / "other", toolchain, keep_onnx=("ethnicity",))


@pytest.mark.parametrize("memory_mib", [H200.memory_mib, 23034, 8192])
def test_the_layout_is_in_the_configurations(memory_mib: int, graphs: Path, tmp_path: Path) -> None:
    times = {steps.DETECT: 200.0, steps.EMBED: 180.0, steps.ALIGN: 20.0}
    toolchain = GraphToolchain(gpu=replace(H200, memory_mib=memory_mib))
    layout, _ = build(graphs, tmp_path / "out", toolchain, times=times)
    counts = {}
    for step in layout.steps:
        config = read_config(tmp_path / "out" / step.name / "config.pbtxt")
        assert config.max_batch_size == step.max_batch_size
        counts[step.name] = config.instance_group[0].count
    assert counts == {**dict.fromkeys(counts, 1), "detect": 2, "embed": 2}
    assert set(counts) == {*PLANNED, "decode", "decode_isolated", "ethnicity"}
    decode = read_config(tmp_path / "out" / "decode" / "config.pbtxt")
    assert decode.parameters["num_threads"].string_value == str(layout.decode_threads)
    for name in steps.ENSEMBLES:
        scheduling = read_config(tmp_path / "out" / name / "config.pbtxt").ensemble_scheduling
        assert scheduling.max_inflight_requests == layout.photos_per_step


def test_the_pip_package_s_triton_gets_no_field_that_it_does_not_know(tmp_path: Path) -> None:
    assemble(shipped_folder("packs") / "lite", tmp_path / "graphs", target=Target.PIP_GPU)
    build(tmp_path / "graphs", tmp_path / "out", GraphToolchain())
    for name in steps.ENSEMBLES:
        scheduling = read_config(tmp_path / "out" / name / "config.pbtxt").ensemble_scheduling
        assert scheduling.max_inflight_requests == 0


def test_only_one_build_at_a_time_and_what_a_killed_one_left_is_removed(graphs: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out-plans-abc"
    (left / "repository").mkdir(parents=True)
    build(graphs, tmp_path / "out", GraphToolchain())
    assert not left.exists()
    with (plans_folder() / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PackError, match="another fsengine build is running"):
            build(graphs, tmp_path / "out", GraphToolchain())


def test_a_gpu_without_room_is_refused(graphs: Path, tmp_path: Path) -> None:
    toolchain = GraphToolchain(gpu=replace(H200, memory_mib=3000))
    with pytest.raises(ServerError, match=r"the steps need \d+ MiB .* the GPU has 3000 MiB"):
        build(graphs, tmp_path / "out", toolchain)
    assert not (tmp_path / "out").exists()


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
    with pytest.raises(InvalidInputError, match="holds something other than a repository with plans"):
        build(graphs, tmp_path / "full", GraphToolchain())
    build(graphs, tmp_path / "out", GraphToolchain())
    with pytest.raises(InvalidInputError, match="has plans already"):
        build(tmp_path / "out", tmp_path / "more", GraphToolchain())


def test_photos_that_cannot_be_used_are_named(graphs: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(InvalidInputError, match=r"text\.jpg cannot be read as a photo"):
        build(graphs, tmp_path / "out", GraphToolchain(), photos=[tmp_path / "text.jpg"])
    Image.new("1", (20_000, 20_100)).save(tmp_path / "bomb.png")
    with pytest.raises(InvalidInputError, match=r"bomb\.png cannot be read as a photo"):
        build(graphs, tmp_path / "out", GraphToolchain(), photos=[tmp_path / "bomb.png"])
    empty = shipped_photos()[0].with_name("coffee.jpg")
    with pytest.raises(InvalidInputError, match="no photo has a face"):
        build(graphs, tmp_path / "out", GraphToolchain(), photos=[empty])


def test_the_cpu_s_int8_is_not_compiled(graphs: Path, tmp_path: Path) -> None:
    shutil.copytree(graphs, tmp_path / "graphs")
    path = tmp_path / "graphs" / "facestats" / "config.pbtxt"
    config = read_config(path)
    models = json.loads(config.parameters["models"].string_value)
    models["embed"] = models["embed"].replace("-fp32", "-int8")
    config.parameters["models"].string_value = json.dumps(models)
    path.write_text(config_text(config))
    with pytest.raises(InvalidInputError, match=r"the graph of embed is int8, .*--precision int8-symmetric"):
        build(tmp_path / "graphs", tmp_path / "out", GraphToolchain())
