"""A server that builds its own plans, with a compiler that refuses and a server that is real."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fsengine.contracts import steps
from fsengine.plans.built_plans import BUILT, KEPT, REFUSED
from fsengine.server import binary, shared_memory
from fsengine.server.listening import LOOPBACK, free_port
from pretended_gpu import FSENGINE, GRAPHS, PretendedGpu, pretend_gpu, repository_for_gpu

pytestmark = pytest.mark.triton

TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """`fsengine start --plans-in`, running."""

    process: subprocess.Popen[bytes]
    http_port: int
    grpc_port: int
    metrics_port: int
    log: Path

    def wait_for(self, what: str, there: Callable[[], object]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not there():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{what}:\n{self.log.read_text()}"
            time.sleep(0.1)

    def platform(self, step: str) -> str:
        """Return what runs a step, nothing where the server does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/v2/models/{step}/config") as answer:
                config = json.load(answer)
        except OSError:
            return ""
        return str(config["backend"] or config["platform"])

    def said(self, pattern: str) -> bool:
        return re.search(pattern, self.log.read_text()) is not None


@contextlib.contextmanager
def starting(gpu: PretendedGpu, repository: Path, plans: Path, **variables: str) -> Iterator[Started]:
    ports = [free_port(LOOPBACK) for _ in range(3)]
    command = [*FSENGINE, "start", "--repository", str(repository), "--plans-in", str(plans), "--grpc-threads", "0"]
    command += ["--program", str(gpu.program), "--trtexec", str(gpu.trtexec)]
    for option, port in zip(("--http-port", "--grpc-port", "--metrics-port"), ports, strict=True):
        command += [option, str(port)]
    log = plans.parent / f"log-{plans.name}-{len(variables)}-{ports[0]}"
    began = time.time()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=gpu.environment | variables)
    try:
        yield Started(process=process, http_port=ports[0], grpc_port=ports[1], metrics_port=ports[2], log=log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
        shared_memory.remove_regions(shared_memory.region_prefix(os.getpid()))
        binary.remove_environment_folders(began)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository_for_gpu(tmp_path_factory.mktemp("gpu") / "repository")


def test_it_serves_at_once_and_takes_each_plan_that_is_not_refused_and_loads(
    repository: Path, tmp_path: Path, fsclient_command: list[str]
) -> None:
    gpu = pretend_gpu(tmp_path / "gpu", repository, refused=["align"], broken=["age_gender"])
    plans = tmp_path / "plans"
    with starting(gpu, repository, plans, FACESTATS_KEEP_ONNX="detect") as started:
        started.wait_for("graphs served", lambda: started.platform(steps.EMBED) == "onnxruntime")
        started.wait_for("plans served", lambda: started.platform(steps.EMBED) == "tensorrt")
        assert {step: started.platform(step) for step in GRAPHS} == {
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
        with urllib.request.urlopen(f"http://127.0.0.1:{started.metrics_port}/metrics") as answer:
            metrics = answer.read().decode()
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
    with starting(gpu, repository, plans, FACESTATS_KEEP_ONNX="detect") as again:
        again.wait_for("plans served", lambda: again.platform(steps.EMBED))
        assert again.platform(steps.EMBED) == "tensorrt"
        assert again.said("align RUNS IN ONNX RUNTIME")
    assert gpu.compiled() == compiled
