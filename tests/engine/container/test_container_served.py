"""The entrypoint becomes the pip package's Triton, with our backends: compose's start, but for NVIDIA's image."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dashboard import GPU_METRICS, metrics_of, panel_queries, rule_queries
from fsclient.models.name_to_repository import served_repository
from fsdata.sample_photos import sample_photos
from fsengine.server import binary, shared_memory
from fsengine.server.interpreter import default_library_folder
from fsengine.server.listening import LOOPBACK, free_port
from fsengine.server.surroundings import environment, furnish, make_run_folder
from fsengine.server.threads import plan_threads
from pretended_gpu import FSENGINE

pytestmark = pytest.mark.triton

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A server that `fsengine start` became."""

    process: subprocess.Popen[bytes]
    http_port: int
    grpc_port: int
    metrics_port: int
    log: Path

    def healthy(self) -> bool:
        command = [*FSENGINE, "health", "--url", f"http://127.0.0.1:{self.http_port}"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=TIMEOUT_S) as answer:
            text: str = answer.read().decode()
        return text


@contextlib.contextmanager
def starting(folder: Path) -> Iterator[Started]:
    """Start the entrypoint with the pip package's server and backends, and kill what is left of it."""
    repository = served_repository("lite", print)
    surroundings = make_run_folder(folder)
    furnish(surroundings, repository, default_library_folder())
    http_port, grpc_port, metrics_port = free_port(LOOPBACK), free_port(LOOPBACK), free_port(LOOPBACK)
    root = binary.triton_folder()
    command = [*FSENGINE, "start", "--repository", str(repository)]
    command += ["--program", str(root / "bin" / "tritonserver")]
    command += ["--http-port", str(http_port), "--grpc-port", str(grpc_port), "--metrics-port", str(metrics_port)]
    # The pip package's Triton is older than that option of gRPC.
    command += ["--grpc-threads", "0", "--", f"--backend-directory={surroundings.backends}"]
    prefix = shared_memory.region_prefix(os.getpid())
    command += [f"--cache-directory={root / 'caches'}", f"--backend-config=python,shm-region-prefix-name={prefix}"]
    began = time.time()
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment(surroundings, plan_threads()))
    try:
        yield Started(process=process, http_port=http_port, grpc_port=grpc_port, metrics_port=metrics_port, log=log)
    finally:
        process.kill()
        process.wait()
        shared_memory.remove_regions(prefix)
        binary.remove_environment_folders(began)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Started]:
    """A ready one, started in this process's place as a container's first program is."""
    with starting(tmp_path) as started:
        deadline = time.monotonic() + TIMEOUT_S
        while not started.healthy():
            assert started.process.poll() is None, started.log.read_text()
            assert time.monotonic() < deadline, started.log.read_text()
        yield started


def test_it_serves_photos_and_exports_what_the_dashboard_reads(
    server: Started, fsclient_command: list[str], tmp_path: Path
) -> None:
    photos = [photo.path for photo in sample_photos()]
    address = f"127.0.0.1:{server.grpc_port}"
    command = [*fsclient_command, "ingest", *map(str, photos), "--server", address, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = server.metrics()
    assert f'nv_inference_request_success{{model="facestats",version="1"}} {len(photos)}\n' in text
    exported = set(re.findall(r"^(nv_\w+)", text, flags=re.MULTILINE))
    read = set().union(*(metrics_of(query) for _, query in [*panel_queries(), *rule_queries()]))
    assert read - GPU_METRICS <= exported
    assert not GPU_METRICS & exported


def test_nobody_who_reaches_it_can_change_its_log(server: Started) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
    with pytest.raises(InferenceServerException, match="restricted"):
        client.update_log_settings({"log_error": False})
    with pytest.raises(InferenceServerException, match="restricted"):
        client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})
    assert client.get_server_metadata().name == "triton"
    request = urllib.request.Request(f"http://127.0.0.1:{server.http_port}/v2/logging", data=b'{"log_error": false}')
    with pytest.raises(urllib.error.HTTPError, match=r"403|401|restricted"):
        urllib.request.urlopen(request, timeout=TIMEOUT_S)


def test_sigterm_drains_it_and_ends_it_well(server: Started) -> None:
    server.process.send_signal(signal.SIGTERM)
    # Triton 2.51 sometimes aborts when all is done; the container's is newer.
    assert server.process.wait(timeout=TIMEOUT_S) in (0, -signal.SIGABRT), server.log.read_text()
    assert "Waiting for in-flight requests to complete" in server.log.read_text()
    assert not server.healthy()
