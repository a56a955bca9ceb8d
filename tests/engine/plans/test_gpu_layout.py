"""How steps share a GPU: memory bounds, measured times decide, and the command prints it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fsengine.cli import main
from fsengine.contracts import steps
from fsengine.errors import InvalidInputError, PackError, ServerError
from fsengine.packs.shipped import shipped_folder
from fsengine.plans.layout import CONTEXT_MIB, GpuLayout, StepNeeds, choose_layout, decode_work_mib, waiting_mib
from fsengine.plans.layout_inputs import read_stage_times, step_needs
from fsengine.repository.assemble import Target, assemble
from fsengine.repository.gpu_config import CUDA_MEMORY_MIB

H200_MIB, L4_MIB = 143771, 23034


def needs(**times: float) -> list[StepNeeds]:
    sizes = {
        steps.DECODE: (16, 0.0, decode_work_mib()),
        steps.DETECT: (16, 20.0, 500.0),
        steps.ALIGN: (0, 1.0, 1500.0),
        steps.EMBED: (256, 180.0, 900.0),
    }
    return [
        StepNeeds(name=name, max_batch_size=batch, weights_mib=weights, work_mib=work, us_per_photo=times.get(name))
        for name, (batch, weights, work) in sizes.items()
    ]


def instances(layout: GpuLayout) -> dict[str, int]:
    return {step.name: step.instances for step in layout.steps}


def test_without_times_every_step_has_one_instance_and_says_that_it_was_not_measured() -> None:
    layout = choose_layout(H200_MIB, needs(), 32)
    assert set(instances(layout).values()) == {1}
    assert all("not measured" in step.why for step in layout.steps)


def test_the_slowest_steps_get_two_instances() -> None:
    layout = choose_layout(H200_MIB, needs(decode=60.0, detect=100.0, align=30.0, embed=50.0), 32)
    assert instances(layout) == {"decode": 2, "detect": 2, "align": 1, "embed": 2}
    chosen = {step.name: step for step in layout.steps}
    assert "the slowest step" in chosen["detect"].why
    assert "50% of the slowest step's time" in chosen["embed"].why
    assert chosen["detect"].memory_mib == 2 * 520.0


def test_a_second_instance_is_not_bought_with_memory_that_is_not_there() -> None:
    tight = int(choose_layout(H200_MIB, needs()[1:], 32).used_mib) + 600
    layout = choose_layout(tight, needs(detect=100.0, align=99.0)[1:], 32)
    assert instances(layout)["detect"] == 2
    assert instances(layout)["align"] == 1
    assert layout.used_mib <= tight


@pytest.mark.parametrize(("memory_mib", "batch"), [(H200_MIB, 16), (81559, 16), (L4_MIB, 8), (8192, 2)])
def test_decoding_a_batch_of_the_largest_photos_takes_a_quarter_of_the_memory_at_most(
    memory_mib: int, batch: int
) -> None:
    decode = choose_layout(memory_mib, needs(), 32).steps[0]
    assert decode.max_batch_size == batch
    assert decode.memory_mib == batch * decode_work_mib()
    assert batch == 1 or decode.memory_mib <= memory_mib / 4


def test_the_sum_is_of_all_that_takes_memory() -> None:
    layout = choose_layout(H200_MIB, needs()[1:], 32)
    parts = sum(step.memory_mib for step in layout.steps)
    assert layout.used_mib == CONTEXT_MIB + CUDA_MEMORY_MIB + parts
    with pytest.raises(ServerError, match=rf"the steps need .* the GPU has {int(parts)} MiB"):
        choose_layout(int(parts), needs()[1:], 32)


def bench_record(**changes: Any) -> dict[str, Any]:
    level = {
        "concurrency": 8,
        "photos_per_second": 960.0,
        "faces_per_second": 1200.0,
        "latency_ms": {"p50": 8.0, "p90": 9.0, "p95": 9.5, "p99": 12.0, "max": 20.0},
        "seconds": 0.5,
        "rounds": 50,
        "requests": 500,
        "failed_requests": 20,
        "failures": 1,
        "failure_reasons": {"corrupt": 1},
        "stages": [
            stage_record(name="detect", requests=500, compute_us=9000.0, busy_share=0.8, instances=2),
            stage_record(name="embed", requests=480, compute_us=4000.0, busy_share=0.4, instances=1),
        ],
        "bound_by": "detect",
        "notes": [],
    }
    whole = {
        "photos": 10,
        **level,
        "levels": [level],
        "server": "localhost:8001",
        "runtime": "triton 2.51.0",
        "models": {"pack": "lite", "model_set_id": "set-1", "preprocessing_id": "pre-1"},
        "marks": {"untrained weights": ["detect"]},
    }
    return {**whole, **changes}


def stage_record(**changes: Any) -> dict[str, Any]:
    stage = {"name": "detect", "compute_us": 9000.0, "queue_us": 10.0, "batch_size": 4.0, "busy_share": 0.8}
    return {**stage, "instances": 1, "requests": 500, "rows": 500, "executions": 125, **changes}


def test_a_photo_takes_of_a_stage_what_its_instances_were_busy_with(tmp_path: Path) -> None:
    (tmp_path / "times.json").write_text(json.dumps(bench_record()))
    assert read_stage_times(tmp_path / "times.json") == pytest.approx({"detect": 1600.0, "embed": 400.0})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "{",
        "[" * 100_000,
        json.dumps(bench_record(seconds=float("nan"))),
        json.dumps(bench_record(seconds=-1.0)),
        json.dumps(bench_record(stages=[stage_record(requests=0)])),
        json.dumps(bench_record(stages=[stage_record(instances=10**400)])),
        json.dumps(bench_record(stages=[{"name": "detect", "requests": 1, "busy_share": 0.8, "instances": 1}])),
        json.dumps(bench_record(seconds="0.5")),
        '{"x": ' + "[" * 100_000,
    ],
    ids=range(12),
)
def test_what_bench_did_not_write_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "times.json").write_text(text)
    with pytest.raises(InvalidInputError, match="holds no stage times"):
        read_stage_times(tmp_path / "times.json")


def test_a_server_that_kept_its_statistics_is_said(tmp_path: Path) -> None:
    (tmp_path / "times.json").write_text(json.dumps(bench_record(stages=[])))
    with pytest.raises(InvalidInputError, match="the server kept its statistics"):
        read_stage_times(tmp_path / "times.json")


def test_the_command_prints_the_layout_of_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assemble(shipped_folder("packs") / "lite", tmp_path / "repository", target=Target.GPU)
    (tmp_path / "times.json").write_text(json.dumps(bench_record()))
    arguments = ["plan", str(tmp_path / "repository"), "--times", str(tmp_path / "times.json")]
    done = CliRunner().invoke(main, [*arguments, "--memory-mib", str(L4_MIB)])
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line.split()[1:4] for line in done.stdout.splitlines()[1:-1]}
    assert rows["detect"][:2] == ["2", "16"]
    assert rows["embed"][:2] == ["1", "256"]
    assert rows["decode"] == ["1", "8", f"{8 * decode_work_mib():.0f}"]
    assert set(rows) == {need.name for need in step_needs(tmp_path / "repository", {})}
    too_small = CliRunner().invoke(main, [*arguments, "--memory-mib", "2000"])
    assert too_small.exit_code == 1
    assert "the GPU has 2000 MiB" in too_small.output
    (tmp_path / "times.json").write_text(json.dumps(bench_record()).replace('"embed"', '"speech"'))
    foreign = CliRunner().invoke(main, [*arguments, "--memory-mib", str(L4_MIB)])
    assert foreign.exit_code == 2
    assert "there are times of ['speech']" in foreign.output
    none = CliRunner().invoke(main, ["plan", str(tmp_path)])
    assert none.exit_code == 2
    assert "is no assembled repository" in none.output


@pytest.mark.parametrize(("cores", "threads"), [(2, 2), (8, 4), (16, 8), (128, 16)])
def test_the_host_s_threads_are_half_of_its_cores_within_bounds(cores: int, threads: int) -> None:
    assert choose_layout(H200_MIB, needs(), cores).decode_threads == threads


@pytest.mark.parametrize("memory_mib", [8192, L4_MIB, H200_MIB])
def test_what_lies_between_the_steps_fits_the_server_s_pool(memory_mib: int) -> None:
    layout = choose_layout(memory_mib, needs(), 32)
    assert 1 <= layout.photos_per_step <= 4 * layout.steps[0].max_batch_size
    assert waiting_mib(layout.photos_per_step) <= CUDA_MEMORY_MIB


def test_a_decode_batch_is_halved_until_all_steps_fit() -> None:
    least = int(choose_layout(H200_MIB, needs()[1:], 32).used_mib) + int(decode_work_mib()) + 1
    assert choose_layout(least, needs(), 32).steps[0].max_batch_size == 1
    assert choose_layout(least + 2 * int(decode_work_mib()), needs(), 32).steps[0].max_batch_size == 2


NO_NUMBER = (
    '{"tensorrt": "11.4", "compute_capability": "9.0", "gpu": "NVIDIA H200", '
    '"models": {"embed": {"key": "plan-0", "sha256": "0", "work_mib": NaN, "parity": {}}}}'
)


@pytest.mark.parametrize("text", ["{", "{}", NO_NUMBER, '{"models": {"embed": {"work_mib": NaN}}}', '{"models": [1]}'])
def test_a_damaged_record_of_plans_is_said(text: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assemble(shipped_folder("packs") / "lite", tmp_path / "repository", target=Target.GPU)
    (tmp_path / "repository" / "plans.json").write_text(text)
    with pytest.raises(PackError, match=r"plans\.json cannot be read .* build the plans again"):
        step_needs(tmp_path / "repository", {})


def test_a_step_without_an_artifact_is_said(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assemble(shipped_folder("packs") / "lite", tmp_path / "repository", target=Target.GPU)
    (tmp_path / "repository" / "embed" / "1" / "model.onnx").unlink()
    with pytest.raises(PackError, match="holds no artifact"):
        step_needs(tmp_path / "repository", {})
