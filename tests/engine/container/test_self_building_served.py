"""A server that builds its own plans, with a compiler that refuses and a server that is real."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsengine.contracts import steps
from fsengine.plans.built_plans import BUILT, KEPT, REFUSED
from fsengine.server import binary, shared_memory
from pretended_gpu import GRAPHS, PretendedGpu, pretend_gpu, repository_for_gpu
from started_engine import StartedEngine, started_engine

pytestmark = pytest.mark.triton


@contextlib.contextmanager
def starting(gpu: PretendedGpu, repository: Path, plans: Path) -> Iterator[StartedEngine]:
    """Start it with the pretended GPU; `detect` keeps its graph."""
    options = ["--repository", str(repository), "--plans-in", str(plans), "--grpc-threads", "0"]
    options += ["--program", str(gpu.program), "--trtexec", str(gpu.trtexec)]
    began = time.time()
    try:
        with started_engine(plans.parent, gpu.environment | {"FACESTATS_KEEP_ONNX": "detect"}, options) as started:
            yield started
    finally:
        shared_memory.remove_regions(shared_memory.region_prefix(os.getpid()))
        binary.remove_environment_folders(began)


def platform(server: StartedEngine, step: str) -> str:
    """Return what runs a step, nothing where the server does not answer."""
    try:
        with urllib.request.urlopen(f"{server.url}/v2/models/{step}/config") as answer:
            config = json.load(answer)
    except OSError:
        return ""
    return str(config["backend"] or config["platform"])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository_for_gpu(tmp_path_factory.mktemp("gpu") / "repository")


def test_it_serves_at_once_and_takes_each_plan_that_is_not_refused_and_loads(
    repository: Path, tmp_path: Path, fsclient_command: list[str]
) -> None:
    gpu = pretend_gpu(tmp_path / "gpu", repository, refused=["align"], broken=["age_gender"])
    plans = tmp_path / "plans"
    with starting(gpu, repository, plans) as started:
        started.wait_for(lambda: platform(started, steps.EMBED) == "onnxruntime")
        started.wait_for(lambda: platform(started, steps.EMBED) == "tensorrt")
        assert {step: platform(started, step) for step in GRAPHS} == {
            steps.ALIGN: "onnxruntime",
            steps.AGE_GENDER: "onnxruntime",
            steps.DETECT: "onnxruntime",
            steps.EMBED: "tensorrt",
        }
        assert started.said("WARNING: align STAYS WITH ONNX RUNTIME.*no importer for align")
        assert started.said("WARNING: age_gender STAYS WITH ONNX RUNTIME.*does not load")
        verify = [*fsclient_command, "models", "verify", "--server", f"127.0.0.1:{started.grpc_port}"]
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"embed +tensorrt, \w+ +built +ok", done.stdout)
        assert re.search(r"align +onnxruntime, \w+ +refused +ok", done.stdout)
        assert "align" in done.stderr  # loud: refused plans are named again
        metrics = started.metrics()
        # As the alert asks for it.
        assert re.search(r'nv_inference_pending_request_count\{_plan="refused",model="align",version="1"\} \d', metrics)
        assert {model: state for state, model in re.findall(r'_plan="(\w+)",model="(\w+)"', metrics)} == {
            steps.ALIGN: REFUSED,
            steps.AGE_GENDER: REFUSED,
            steps.DETECT: KEPT,
            steps.EMBED: BUILT,
        }
    compiled = gpu.compiled()
    assert sorted(compiled) == [steps.AGE_GENDER, steps.ALIGN, steps.EMBED]
    # The next start has them at once, and asks the compiler for nothing.
    with starting(gpu, repository, plans) as again:
        again.wait_for(lambda: platform(again, steps.EMBED))
        assert platform(again, steps.EMBED) == "tensorrt"
        assert again.said("align RUNS IN ONNX RUNTIME")
    assert gpu.compiled() == compiled
