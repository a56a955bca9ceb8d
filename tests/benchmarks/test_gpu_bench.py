"""The GPU benchmark as a command: on the CPU in place of a GPU, and on a machine without one."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fake_programs import FakePrograms
from fsengine.errors import FaceStatsError
from fsengine.gpu import find_gpu

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
STEPS = ("detect", "align", "embed", "attractiveness", "ethnicity", "age_gender")
OF_STEPS = [
    f"{kind}/{library}/{step}"
    for library in ("onnxruntime", "tensorrt")
    for step in STEPS
    for kind in ("stages", "parity")
]
PARTS = ["decode", "parity/decode", *OF_STEPS, "memory", "end_to_end", "end_to_end/steps"]
POWERS = [1 << power for power in range(9)]


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "gpu" / "bench.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def few_photos(tmp_path: Path, photos: Path) -> Path:
    """Two photos with a face each, and one that is cut short."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("hopper.jpg", "obama.jpg"):
        shutil.copy(photos / name, folder)
    (folder / "cut.jpg").write_bytes((photos / "obama.jpg").read_bytes()[:2000])
    return folder


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the benchmark by its name."""
    for folder in (FOLDER, FOLDER / "gpu"):
        monkeypatch.syspath_prepend(folder)
    return importlib.import_module


def told(done: subprocess.CompletedProcess[str], file: Path) -> dict[str, dict[str, Any]]:
    """Return the parts of a report by name, all of which its text names too."""
    parts = {part["name"]: part for part in json.loads(file.read_text())["parts"]}
    assert list(parts) == PARTS
    words = done.stdout.replace(",", " ").split()
    for name, part in parts.items():
        assert name in words
        assert bool(part["rows"]) == (part["reason"] is None) == (part["status"] == "measured"), part
    return parts


def test_on_the_cpu_every_part_is_measured_or_named_with_its_reason(few_photos: Path, tmp_path: Path) -> None:
    for name in ("nvidia.dali", "onnxruntime", "treelite"):
        pytest.importorskip(name)
    file = tmp_path / "report.json"
    skipped = ("stages/onnxruntime/detect", "memory", "end_to_end")
    skips = [word for part in skipped for word in ("--skip", part)]
    done = bench(few_photos, "--device", "cpu", "--seconds", "0", "--json", file, *skips)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "A check of this command on the CPU, and no measurement of a GPU."
    parts = told(done, file)
    absent = {"stages/onnxruntime/attractiveness", "parity/onnxruntime/attractiveness", "parity/onnxruntime/ethnicity"}
    assert {name: part["status"] for name, part in parts.items()} == {
        name: "skipped"
        if name.startswith(skipped)
        else "missing"
        if "tensorrt" in name
        else "absent"
        if name in absent
        else "measured"
        for name in PARTS
    }
    rows = {name: part["rows"] for name, part in parts.items()}
    assert {row["batch"] for row in rows["decode"]} == {1, 4, 16}
    assert all(row["output_on"] == "cpu" for row in rows["decode"])
    asked = [row["photo"] for row in rows["stages/onnxruntime/align"]]
    assert asked == ["astronaut.jpg", "hopper.jpg", "obama.jpg", "solvay_conference_1927.jpg", "blank"]
    for step in ("embed", "ethnicity", "age_gender"):
        assert [row["batch"] for row in rows[f"stages/onnxruntime/{step}"]] == POWERS
    for name in PARTS:
        for row in rows[name]:
            if name.startswith("stages"):
                assert row["rows_per_s"] * row["ms"] / 1e3 == pytest.approx(row.get("batch", 1))
                assert row["precision"] == "fp32"
            elif name == "parity/decode":
                assert row["mean_difference"] == row["largest_difference"] == 0
            elif name.startswith("parity"):
                assert row["within"]
                assert row["difference"] <= row["at_most"]
    assert {row["output"] for row in rows["parity/onnxruntime/embed"]} == {"face_embedding"}
    report = json.loads(file.read_text())
    assert report["check_alone"] is True
    assert report["photos"]["decoded"] == 2
    assert [Path(source).name for source in report["photos"]["left_out"]] == ["cut.jpg"]
    assert report["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert "onnxruntime" in report["machine"]["versions"]
    assert [goal["verdict"] for goal in report["goals"]] == ["not measured", "not measured"]


@pytest.mark.triton
def test_on_the_cpu_photos_go_through_the_embedded_server(few_photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    skips = ("--skip", "stages", "--skip", "parity", "--skip", "decode")
    options = ("--device", "cpu", "--seconds", "0", "--memory-photos", "8", "--concurrency", "1,4", "--json", file)
    done = bench(few_photos, *options, *skips)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = told(done, file)
    measured = [name for name, part in parts.items() if part["status"] == "measured"]
    assert measured == ["memory", "end_to_end", "end_to_end/steps"]
    (memory,) = parts["memory"]["rows"]
    assert memory["peak_mib"] >= memory["first_mib"] > 100
    assert memory["flat"] is None  # too few readings
    # Whole rounds of three photos; the one that is cut short fails each time.
    assert parts["memory"]["notes"][0].startswith("6 of 9 photos answered")
    assert parts["memory"]["notes"][-1] == "1 of 3 files failed: corrupt 1"
    levels = parts["end_to_end"]["rows"]
    assert [(level["in_flight"], level["not_answered"] > 0, level["pack"]) for level in levels] == [
        (1, True, "lite"),
        (4, True, "lite"),
    ]
    assert all(level["photos_per_s"] > 0 for level in levels)
    steps = [row["step"] for row in parts["end_to_end/steps"]["rows"]]
    assert steps == ["decode", "decode_isolated", "detect", "align", "embed", "ethnicity", "age_gender"]


def test_without_a_gpu_nothing_is_run_and_the_report_says_why(few_photos: Path, tmp_path: Path) -> None:
    try:
        gpu = find_gpu()
    except FaceStatsError as exc:
        reason = str(exc)
    else:
        pytest.skip(f"there is a GPU: {gpu.name}")
    file = tmp_path / "report.json"
    done = bench(few_photos, "--skip", "memory", "--json", file)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("There is no GPU here")
    parts = told(done, file)
    assert {(part["status"], part["reason"]) for name, part in parts.items() if name != "memory"} == {
        ("missing", reason)
    }
    assert parts["memory"]["status"] == "skipped"
    assert reason in " ".join(done.stdout.split())


def test_where_no_library_reaches_the_gpu_each_says_so_and_the_rest_goes_on(
    few_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that names a GPU which is not there."""
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("nvidia.dali")
    if "CUDAExecutionProvider" in ort.get_available_providers() or importlib.util.find_spec("tensorrt"):
        pytest.skip("libraries for a GPU are installed")
    driver = FakePrograms(folder=tmp_path / "bin")
    driver.folder.mkdir()
    driver.add_gpu("NVIDIA H200")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(driver.folder), os.environ.get("PYTHONPATH")])))
    file = tmp_path / "report.json"
    done = bench(few_photos, "--seconds", "0", "--skip", "memory", "--skip", "end_to_end", "--json", file)
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.startswith("NVIDIA H200: 1 of 29 parts measured.")
    parts = told(done, file)
    # The forest runs on the CPU all the same.
    assert [name for name, part in parts.items() if part["rows"]] == ["stages/onnxruntime/ethnicity"]
    for name, status, reason in (
        ("decode", "failed", "CUDA is not available"),
        ("stages/onnxruntime/embed", "refused", "pip install 'facestats[gpu]'"),
        ("stages/tensorrt/embed", "missing", "TensorRT's Python package does not load"),
    ):
        assert parts[name]["status"] == status
        assert reason in parts[name]["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--skip", "align", "--skip", "alignment"), "there is no part alignment"),
        (("--json", "nowhere/report.json"), "there is no folder"),
        (("--concurrency", "0"), "must be numbers above 0"),
        (("--memory-photos", "0"), "--memory-photos 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(
    few_photos: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = bench(few_photos, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_files_of_which_none_decodes_are_refused(few_photos: Path) -> None:
    done = bench(few_photos / "cut.jpg")
    assert done.returncode == 2
    assert "none of 1 files decodes" in done.stderr


GROUPS = """
import os, signal
from outcome import measured
from fsengine.errors import PackError

def crashes(settings):
    yield measured("a", [{"batch": 1}])
    os.kill(os.getpid(), signal.SIGSEGV)

def refuses(settings):
    yield measured("a", [{"batch": 1}])
    raise PackError("the pack is altered")
"""


@pytest.mark.parametrize(
    ("run", "status", "reason"),
    [("crashes", "failed", "its process died of SIGSEGV"), ("refuses", "refused", "the pack is altered")],
)
def test_a_part_that_dies_keeps_what_was_measured_before(
    run: str, status: str, reason: str, tmp_path: Path, modules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying_groups.py").write_text(GROUPS)
    monkeypatch.syspath_prepend(tmp_path)
    alone, settings = modules("alone"), some_settings(modules, skip=frozenset({"b"}))
    group = alone.Group(parts=("a", "b", "c"), run=getattr(modules("dying_groups"), run))
    outcomes = {outcome.name: outcome for outcome in alone.run_alone(group, settings)}
    assert {name: outcome.status.value for name, outcome in outcomes.items()} == {
        "a": "measured",
        "b": "skipped",
        "c": status,
    }
    assert outcomes["c"].reason == reason
    assert modules("report").exit_code(list(outcomes.values())) == 3


@pytest.mark.parametrize(
    ("gpu", "precision", "crops_per_s", "verdict"),
    [
        ("NVIDIA H200", "fp16", 40_000.0, "met"),
        ("NVIDIA H200", "fp16", 39_999.0, "not met"),
        ("NVIDIA H200", "fp32", 50_000.0, "not measured"),
        ("NVIDIA L4", "fp16", 50_000.0, "not measured"),
    ],
)
def test_a_goal_is_judged_under_its_own_conditions_alone(
    gpu: str, precision: str, crops_per_s: float, verdict: str, modules: Any
) -> None:
    goals, outcome = modules("goals"), modules("outcome")
    row = {"batch": 256, "precision": precision, "rows_per_s": crops_per_s}
    row |= goals.clip_compute(crops_per_s, precision, gpu)
    judged = goals.judge([outcome.measured("stages/tensorrt/embed", [row])], some_settings(modules, gpu_name=gpu))
    assert [(goal.verdict, goal.found) for goal in judged] == [(verdict, crops_per_s), ("not measured", None)]


def test_the_share_of_the_peak_is_given_where_the_peak_is_known(modules: Any) -> None:
    compute = modules("goals").clip_compute
    # 40,000 crops of 8.82 GFLOP are 353 of the 989 TFLOP/s of an H200.
    assert compute(40_000, "fp16", "NVIDIA H200") == pytest.approx(
        {"tflop_per_s": 352.8, "share_of_fp16_peak": 0.3567}, 1e-3
    )
    assert list(compute(40_000, "fp32", "NVIDIA H200")) == ["tflop_per_s"]
    assert list(compute(40_000, "fp16", "NVIDIA GeForce RTX 5090")) == ["tflop_per_s"]


def test_memory_is_flat_where_it_ends_as_it_began(modules: Any) -> None:
    row = modules("server").memory_row
    begun = [5000.0] * 50
    assert row("gpu", [*begun, 9000.0, *begun], 20_000)["flat"] is True
    grown = row("gpu", [*begun, *(5000.0 + step for step in range(100))], 20_000)
    assert (grown["flat"], grown["peak_mib"]) == (False, 5099.0)
    assert grown["mib_per_1000_photos"] == pytest.approx(4.6, abs=0.1)
    assert row("gpu", [5000.0, 9000.0], 20)["flat"] is None


def some_settings(modules: Any, **changes: Any) -> Any:
    settings = modules("settings")
    values = {
        "sources": ("photos",),
        "samples": settings.Samples(paths=(Path("a.jpg"),), mean_megapixels=1.0, left_out={}),
        "models": "official",
        "gpu": 0,
        "gpu_name": None,
        "no_gpu": None,
        "seconds": 0.0,
        "memory_photos": 1,
        "concurrencies": (1,),
        "server": None,
        "skip": frozenset(),
    }
    return settings.Settings(**{**values, **changes})
