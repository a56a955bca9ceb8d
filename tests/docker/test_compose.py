"""compose.yaml: by its schema, by what its services may do, and with commands that `fsengine` takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from dashboard import DOCKER
from fsengine.cli import main as fsengine
from fsengine.container.self_building import PLANNED
from fsengine.server.triton_command import EXIT_TIMEOUT_S

yaml = pytest.importorskip("yaml", reason="PyYAML is missing: pip install pyyaml")

COMPOSE = DOCKER / "compose.yaml"
ONCE = ("assemble", "assemble-cpu", "tensorrt", "plans")
"""Services that end before others start."""


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


SERVICES: dict[str, dict[str, Any]] = compose()["services"]


def variables(text: str) -> set[str]:
    return set(re.findall(r"\$\{(\w+)", text))


def test_it_is_valid_by_the_schema_of_the_compose_specification() -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is missing: pip install check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"assemble", "tensorrt", "plans", "triton", "prometheus", "grafana"}),
        (["--profile", "cpu"], {"assemble-cpu", "triton-cpu", "prometheus", "grafana"}),
    ],
)
def test_docker_compose_reads_it_and_chooses_the_profile(arguments: list[str], expected: set[str]) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is missing")
    command = [docker, "compose", "--project-directory", str(DOCKER), "--file", str(COMPOSE), *arguments]
    done = subprocess.run([*command, "config", "--services"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == expected


def test_each_profile_is_whole_and_the_gpu_is_the_default() -> None:
    by_profile = {
        profile: {name for name, service in SERVICES.items() if profile in service["profiles"]}
        for profile in ("gpu", "cpu")
    }
    assert by_profile["gpu"] | by_profile["cpu"] == set(SERVICES) - {"plans"}
    assert SERVICES["plans"]["profiles"] == ["builder"]  # where the server image has no trtexec
    for names in by_profile.values():
        for name in names:
            assert set(SERVICES[name].get("depends_on", ())) <= names
    set_there = dict(re.findall(r"^(\w+)=(.*)$", (DOCKER / ".env").read_text(), flags=re.MULTILINE))
    assert set_there.pop("COMPOSE_PROFILES") == "gpu"
    assert all(name.endswith("_IMAGE") for name in set_there)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_right_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "user"} & set(service)
    assert service["init"] is True
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert service.get("network_mode") == ("none" if name in ONCE else None)


def test_ports_are_on_loopback_and_grpc_alone_can_be_offered() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert {port.rsplit(":", 1)[1] for port in ports} == {"8000", "8001", "8002", "9090", "3000"}
    for port in ports:
        address = "${FACESTATS_BIND:-127.0.0.1}" if port.endswith(":8001") else "127.0.0.1"
        number = port.rsplit(":", 1)[1]
        assert port == f"{address}:{number}:{number}"


def test_what_must_end_before_another_starts_is_waited_for() -> None:
    chain = {name: service.get("depends_on", {}) for name, service in SERVICES.items() if name != "grafana"}
    assert {name: set(needs) for name, needs in chain.items() if needs} == {
        "triton": {"assemble"},
        "triton-cpu": {"assemble-cpu"},
    }
    for needs in chain.values():
        for name, need in needs.items():
            assert name in ONCE
            assert need == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", ["triton", "triton-cpu"])
def test_a_server_has_shared_memory_and_time_to_drain(name: str) -> None:
    assert SERVICES[name]["shm_size"] == "1gb"
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > EXIT_TIMEOUT_S + 10


def test_the_gpu_is_reserved_where_it_is_used_alone() -> None:
    reserved = {name for name, service in SERVICES.items() if "deploy" in service}
    assert reserved == {"plans", "triton"}
    for name in reserved:
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": ["${FACESTATS_GPU:-0}"], "capabilities": ["gpu"]}


def test_volumes_are_declared_and_only_their_makers_write_to_them() -> None:
    writers: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source, target, *mode = volume.replace(":-", "|").split(":")
            if source.startswith(("./", "${")):
                assert mode == ["ro"], volume
                assert source.startswith("$") or (DOCKER / source).is_dir()
            elif mode != ["ro"]:
                writers.setdefault(source, set()).add(name)
            assert target.startswith("/")
    assert writers == {
        "models": {"assemble", "assemble-cpu"},
        "plans": {"triton", "plans"},
        "metrics": {"prometheus"},
        "grafana": {"grafana"},
    }
    assert set(writers) == set(compose()["volumes"])


def parse(command: list[str]) -> None:
    """Parse a command line as `fsengine` would; a wrong one raises."""
    program, name, *rest = command
    assert program == "fsengine"
    sub = fsengine.get_command(click.Context(fsengine), name)
    assert sub is not None, name
    sub.make_context(name, rest)


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "build" in service])
def test_commands_are_those_that_fsengine_takes(name: str) -> None:
    service = SERVICES[name]
    parse(list(service["command"]))
    assert service["build"]["context"] == ".."
    assert service["image"] == f"facestats-{service['build']['target']}"
    assert (DOCKER.parent / service["build"]["dockerfile"]).is_file()


def test_a_wrong_command_would_be_found() -> None:
    with pytest.raises(click.UsageError):
        parse(["fsengine", "start", "--repositry", "/plans/repository"])


def test_folders_of_commands_are_handed_on() -> None:
    """What one service makes is what the next one reads."""
    commands = {name: " ".join(service["command"]) for name, service in SERVICES.items() if "build" in service}
    assert "--out /models/gpu" in commands["assemble"]
    assert "--repository /models/gpu --plans-in /plans" in commands["triton"]
    # Where the server looks for plans that were built elsewhere.
    assert f"build /models/gpu --out /plans/{PLANNED}" in commands["plans"]
    assert "--out /models/container" in commands["assemble-cpu"]
    assert "--repository /models/container" in commands["triton-cpu"]


def test_every_variable_is_explained() -> None:
    text = COMPOSE.read_text()
    used = variables(text) | set(SERVICES["triton"]["build"]["args"])
    explained = (DOCKER / ".env").read_text() + (DOCKER / "README.md").read_text()
    assert not [name for name in used if name not in explained]
    in_env = set(re.findall(r"^#?([A-Z_]+)=", (DOCKER / ".env").read_text(), flags=re.MULTILINE))
    assert in_env - {"COMPOSE_PROFILES"} <= used


def test_every_base_image_stands_in_one_file_with_its_tag() -> None:
    images = dict(re.findall(r"^(\w+_IMAGE)=(.*)$", (DOCKER / ".env").read_text(), flags=re.MULTILINE))
    named = variables(COMPOSE.read_text()) | set(SERVICES["triton"]["build"]["args"])
    assert {name for name in named if name.endswith("_IMAGE")} == set(images)
    for name, image in images.items():
        assert re.search(r":v?\d+\.\d+[\w.-]*$", image), name
    for path in (DOCKER / "Dockerfile", COMPOSE):
        assert not re.search(r"\w:v?\d+\.\d+", path.read_text()), path


def test_links_in_the_readme_lead_somewhere() -> None:
    text = (DOCKER / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert Path(DOCKER / target).exists(), target
