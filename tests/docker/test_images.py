"""The images, built for real on a stand-in base: only where a Docker engine and such an image are at hand.

FACESTATS_DOCKER_BASE names a local image with /usr/bin/python3 and pip; it takes the place of every base, NVIDIA's too.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from dashboard import DOCKER

BASE = os.environ.get("FACESTATS_DOCKER_BASE")
BUILD_TIMEOUT_S = 900
CONFINED = (
    "--rm",
    "--network=none",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
"""As compose.yaml confines what runs once."""

pytestmark = pytest.mark.skipif(BASE is None, reason="FACESTATS_DOCKER_BASE names no image to build on")


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)


def run(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return docker("run", *CONFINED, *arguments[:-1], f"facestats-test-{target}", *arguments[-1].split())


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    arguments = [f"--build-arg={name}={BASE}" for name in ("SERVER_IMAGE", "BUILDER_IMAGE", "PYTHON_IMAGE")]
    for target in ("tools", "builder", "server"):
        where = ["--network=host", "--file", str(DOCKER / "Dockerfile"), "--target", target]
        done = docker("build", *where, *arguments, "--tag", f"facestats-test-{target}", str(DOCKER.parent))
        assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture
def volume() -> Iterator[str]:
    name = docker("volume", "create").stdout.strip()
    yield name
    docker("volume", "rm", "--force", name)


def test_what_the_tools_assemble_the_server_starts_with(volume: str) -> None:
    out = "fsengine assemble --given /dev/null --target container --out /models/container"
    done = run("tools", f"--volume={volume}:/models", out)
    assert done.returncode == 0, done.stderr
    start = "fsengine start --repository /models/container --program echo"
    done = run("server", f"--volume={volume}:/models:ro", start)
    assert done.returncode == 0, done.stderr
    assert "--model-repository=/models/container" in done.stdout
    assert "serving the lite pack" in done.stderr


def test_every_image_runs_as_a_user_without_rights() -> None:
    for target in ("tools", "builder", "server"):
        assert run(target, "id -u").stdout.strip() == "1000"


def test_the_server_keeps_its_own_python_and_has_none_of_our_packages() -> None:
    done = run("server", "/usr/bin/python3 -c __import__('fsengine')")
    assert "No module named 'fsengine'" in done.stderr
    assert run("server", "fsengine health").stdout == "http://127.0.0.1:8000 is not ready\n"


def test_the_builder_takes_what_the_tools_assemble_and_says_that_there_is_no_gpu_here(volume: str) -> None:
    out = "fsengine assemble --given /dev/null --target gpu --out /models/gpu"
    assert run("tools", f"--volume={volume}:/models", out).returncode == 0
    build = "fsengine build /models/gpu --out /plans/repository --untried"
    done = run("builder", f"--volume={volume}:/models:ro", build)
    assert done.returncode == 1
    assert "there is no NVIDIA driver here that works" in done.stderr
