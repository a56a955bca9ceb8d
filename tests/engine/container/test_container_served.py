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
from pathlib import Path

import pytest

from dashboard import GPU_METRICS, metrics_of, panel_queries, rule_queries
from fsclient.models.name_to_repository import served_repository
from fsdata.sample_photos import sample_photos
from fsengine.server import binary, shared_memory
from fsengine.server.interpreter import default_library_folder
from fsengine.server.surroundings import environment, furnish, make_run_folder
from fsengine.server.threads import plan_threads
from started_engine import FSENGINE, StartedEngine, started_engine

pytestmark = pytest.mark.triton

TIMEOUT_S = 120.0


@contextlib.contextmanager
def starting(folder: Path) -> Iterator[StartedEngine]:
    """Start the entrypoint with the pip package's server and backends."""
    repository = served_repository("lite", print)
    surroundings = make_run_folder(folder)
    furnish(surroundings, repository, default_library_folder())
    root = binary.triton_folder()
    # The pip package's Triton is older than that option of gRPC.
    options = ["--repository", str(repository), "--program", str(root / "bin" / "tritonserver"), "--grpc-threads", "0"]
    prefix = shared_memory.region_prefix(os.getpid())
    server_options = [
        f"--backend-directory={surroundings.backends}",
        f"--cache-directory={root / 'caches'}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
    ]
    began = time.time()
    try:
        with started_engine(folder, environment(surroundings, plan_threads()), options, server_options) as started:
            yield started
    finally:
        shared_memory.remove_regions(prefix)
        binary.remove_environment_folders(began)


def healthy(server: StartedEngine) -> bool:
    return subprocess.run([*FSENGINE, "health", "--url", server.url], check=False, capture_output=True).returncode == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StartedEngine]:
    """A ready one, started in this process's place as a container's first program is."""
    with starting(tmp_path) as started:
        started.wait_for(lambda: healthy(started))
        yield started


def test_it_serves_photos_and_exports_what_the_dashboard_reads(
    server: StartedEngine, fsclient_command: list[str], tmp_path: Path
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


def test_nobody_who_reaches_it_can_change_its_log(server: StartedEngine) -> None:
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


def test_sigterm_drains_it_and_ends_it_well(server: StartedEngine) -> None:
    server.process.send_signal(signal.SIGTERM)
    # Triton 2.51 sometimes aborts when all is done; the container's is newer.
    assert server.process.wait(timeout=TIMEOUT_S) in (0, -signal.SIGABRT), server.log.read_text()
    assert "Waiting for in-flight requests to complete" in server.log.read_text()
    assert not healthy(server)
