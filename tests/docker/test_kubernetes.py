"""docker/k8s: by the schemas of Kubernetes, against compose.yaml and our own commands, and the Job's script by `sh`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from dashboard import DOCKER
from fsclient.backend.address import TOKEN_VARIABLE, parse_address
from fsclient.cli import main as fsclient
from fsclient.commands.options import SERVER_VARIABLE
from fsclient.photos.finding.photo_search import PhotoSearch
from fsclient.photos.source_rules import SourceRules
from fsengine.cli import main as fsengine
from fsengine.container.health import READY_PATH
from fsengine.container.self_building import PLANNED
from fsengine.files.path_list import path_lines
from fsengine.server.triton_command import EXIT_TIMEOUT_S
from triton_options import refusal

yaml = pytest.importorskip("yaml", reason="PyYAML is missing: pip install pyyaml")

K8S = DOCKER / "k8s"
FOLDERS = (K8S, K8S / "ingest")
OLDEST = "1.30"
"""Has `preStop: sleep` and retries by index without a gate."""

SECRETS = {"facestats-server": {"cert.pem", "key.pem", "token"}, "facestats-client": {"ca.pem", "token"}}
"""What the README creates, and the keys of it."""


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


MANIFESTS = [folder / name for folder in FOLDERS for name in read(folder / "kustomization.yaml")["resources"]]
BY_KIND = {read(path)["kind"]: read(path) for path in MANIFESTS}
DEPLOYMENT, SERVICE, JOB = BY_KIND["Deployment"], BY_KIND["Service"], BY_KIND["Job"]
PODS = {"server": DEPLOYMENT["spec"]["template"]["spec"], "ingest": JOB["spec"]["template"]["spec"]}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


CONTAINERS = {container["name"]: (pod, container) for pod in PODS.values() for container in containers(pod)}
TRITON = CONTAINERS["triton"][1]
INGEST = CONTAINERS["ingest"][1]


def params(program: click.Group, command: list[str]) -> dict[str, Any]:
    """Return what a command of ours takes from its line; a wrong one raises."""
    found = program.get_command(click.Context(program), command[0])
    assert found is not None, command
    return found.make_context(command[0], command[1:]).params


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("version", [OLDEST, "newest"])
def test_a_manifest_is_valid_by_the_schemas_of_kubernetes(path: Path, version: str) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    asked = schemas.latest_version() if version == "newest" else version
    assert asked.startswith(schemas.validate(read(path), asked, strict=True))


def test_a_field_that_there_is_not_would_be_found() -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    wrong = read(K8S / "deployment.yaml")
    wrong["spec"]["template"]["spec"]["containers"][0]["startupProbe"]["failureTreshold"] = 1
    with pytest.raises(schemas.ValidationError, match="failureTreshold"):
        schemas.validate(wrong, OLDEST, strict=True)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_kustomization_names_every_file_beside_it(folder: Path) -> None:
    named = read(folder / "kustomization.yaml")
    assert set(named) == {"apiVersion", "kind", "namespace", "resources", "images"}
    there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(named["resources"]) == sorted(there)
    used = {item["image"] for path in MANIFESTS if path.parent == folder for item in _containers_of(read(path))}
    assert {image["name"] for image in named["images"]} == used
    assert {image["newName"].rpartition("/")[2] for image in named["images"]} == used


def _containers_of(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "template" in manifest["spec"]:
        yield from containers(manifest["spec"]["template"]["spec"])


def test_images_are_those_that_compose_builds() -> None:
    built = {service["image"] for service in read(DOCKER / "compose.yaml")["services"].values() if "build" in service}
    assert {container["image"] for _, container in CONTAINERS.values()} <= built


def test_selectors_choose_the_pods_of_the_server_and_no_others() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    selectors = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        SERVICE["spec"]["selector"],
        BY_KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        BY_KIND["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [labels] * len(selectors)
    assert JOB["spec"]["template"]["metadata"]["labels"].items() != labels.items()
    scaled = BY_KIND["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert scaled == {"apiVersion": "apps/v1", "kind": "Deployment", "name": DEPLOYMENT["metadata"]["name"]}
    assert "replicas" not in DEPLOYMENT["spec"]  # applying it again would undo the autoscaler's


def test_ports_are_those_on_which_the_server_listens() -> None:
    options = params(fsengine, TRITON["args"][1:])
    listening = {name: options[f"{name}_port"] for name in ("grpc", "http", "metrics")}
    assert {port["name"]: port["containerPort"] for port in TRITON["ports"]} == listening
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert TRITON[probe]["httpGet"]["port"] == "http"
    assert TRITON["startupProbe"]["httpGet"]["path"] == TRITON["readinessProbe"]["httpGet"]["path"] == READY_PATH
    assert TRITON["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    for port in SERVICE["spec"]["ports"]:
        assert port["port"] == listening[port["targetPort"]]
    offered = {port["targetPort"] for port in SERVICE["spec"]["ports"]}
    allowed = {port["port"] for rule in BY_KIND["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    assert offered == allowed == {"grpc", "metrics"}  # HTTP has no TLS
    annotations = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    assert int(annotations["prometheus.io/port"]) == listening["metrics"]


def test_there_is_time_to_start_and_to_end() -> None:
    probe = TRITON["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 20 * 60
    slept = TRITON["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert PODS["server"]["terminationGracePeriodSeconds"] >= slept + EXIT_TIMEOUT_S + 10
    assert params(fsengine, TRITON["args"][1:])["exit_timeout_s"] == EXIT_TIMEOUT_S


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name != "plans-owner"])
def test_a_container_has_no_right_that_it_does_not_need(name: str) -> None:
    pod, container = CONTAINERS[name]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    user = pod["securityContext"]
    assert (user["runAsNonRoot"], user["runAsUser"], user["runAsGroup"]) == (True, 1000, 1000)
    assert user["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_root_changes_the_owner_of_the_plans_and_nothing_else() -> None:
    _, container = CONTAINERS["plans-owner"]
    assert container["args"] == ["chown", "1000:1000", "/plans"]
    assert container["securityContext"] == {
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
    }
    assert container["volumeMounts"] == [{"name": "plans", "mountPath": "/plans"}]


def test_what_is_mounted_is_there_and_only_its_makers_write_to_it() -> None:
    for pod in PODS.values():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = [(container["name"], mount) for container in containers(pod) for mount in container["volumeMounts"]]
        assert {mount["name"] for _, mount in mounts} == set(volumes)
        in_memory = {name for name, volume in volumes.items() if volume.get("emptyDir", {}).get("medium") == "Memory"}
        assert {mount["name"] for _, mount in mounts if mount["mountPath"] in ("/tmp", "/dev/shm")} == in_memory
        for name in in_memory:
            assert volumes[name]["emptyDir"]["sizeLimit"]
    writers: dict[str, set[str]] = {}
    for _, container in CONTAINERS.values():
        for mount in container["volumeMounts"]:
            if not mount.get("readOnly") and mount["name"] not in ("tmp", "shm"):
                writers.setdefault(mount["name"], set()).add(container["name"])
    assert writers == {"models": {"assemble"}, "plans": {"plans-owner", "plans", "triton"}, "results": {"ingest"}}
    names = [volume["name"] for volume in PODS["server"]["volumes"] if "hostPath" in volume]
    assert names == ["plans"]


def test_the_gpu_is_asked_for_where_it_is_used_alone() -> None:
    asking = {name for name, (_, container) in CONTAINERS.items() if container["resources"].get("limits")}
    assert asking == {"plans", "triton"}
    for name in asking:
        assert CONTAINERS[name][1]["resources"]["limits"] == {"nvidia.com/gpu": 1}


def test_folders_of_commands_are_handed_on() -> None:
    """Commands are those of `fsengine`, and what one makes is what the next one reads."""
    assembled = params(fsengine, CONTAINERS["assemble"][1]["args"][1:])
    shell, option, script = CONTAINERS["plans"][1]["args"]
    assert (shell, option) == ("sh", "-c")
    build, otherwise = script.split(" || ")  # a build that fails keeps no pod from serving
    assert otherwise.startswith("echo ")
    assert build.startswith("timeout 3600 fsengine ")  # nor one that hangs
    built = params(fsengine, build.split()[3:])
    served = params(fsengine, TRITON["args"][1:])
    assert assembled["target"] == "gpu"
    assert built["repository"] == assembled["out"]
    assert served["repository"] == assembled["out"]
    assert served["plans_in"] / PLANNED == built["out"]


def test_variables_are_those_that_our_commands_read_and_secrets_have_what_they_name() -> None:
    start = fsengine.get_command(click.Context(fsengine), "start")
    assert start is not None
    read_by: dict[str, set[Any]] = {
        "triton": {param.envvar for param in start.params},
        "plans": {"FACESTATS_MODELS"},
        "ingest": {SERVER_VARIABLE, TOKEN_VARIABLE, "SHARDS", "LIST"},
    }
    for name, (pod, container) in CONTAINERS.items():
        variables = {variable["name"]: variable for variable in container.get("env", ())}
        assert set(variables) - {"NVIDIA_DRIVER_CAPABILITIES"} <= read_by.get(name, set()), name
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        secrets = [(mounted[v["name"]], v["secret"]) for v in pod["volumes"] if "secret" in v and v["name"] in mounted]
        files = {f"{path}/{key}" for path, secret in secrets for key in SECRETS[secret["secretName"]]}
        for variable in variables.values():
            if variable.get("value", "").startswith("/secrets"):
                assert variable["value"] in files
            if "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                assert reference["key"] in SECRETS[reference["name"]]
    readme = (K8S / "README.md").read_text()
    for name, keys in SECRETS.items():
        (line,) = (line for line in readme.splitlines() if f"create secret generic {name} " in line)
        assert {word.split("=")[1] for word in line.split() if word.startswith("--from-file=")} == keys


def test_a_server_is_beyond_loopback_with_tls_and_a_token() -> None:
    assert params(fsengine, TRITON["args"][1:])["address"] == "0.0.0.0"
    given = {variable["name"] for variable in TRITON["env"]}
    assert {"FACESTATS_TLS_CERT", "FACESTATS_TLS_KEY", "FACESTATS_TOKEN_FILE"} <= given
    assert "FACESTATS_INSECURE" not in given


def test_callers_ask_all_pods_in_turn() -> None:
    assert SERVICE["spec"]["clusterIP"] == "None"
    (server,) = (variable["value"] for variable in INGEST["env"] if variable["name"] == "FACESTATS_SERVER")
    address = parse_address(server)
    assert (address.targets, address.tls) == ((f"dns:///{SERVICE['metadata']['name']}:8001",), True)
    (age,) = params(fsengine, TRITON["args"][1:])["extra"]
    assert age.startswith("--grpc-max-connection-age=")


@pytest.mark.triton
def test_options_that_are_handed_on_are_those_of_triton() -> None:
    extra = list(params(fsengine, TRITON["args"][1:])["extra"])
    assert refusal(extra) is None
    assert refusal([*extra, "--no-such-option=1"]) is not None


def ingest_script(folder: Path) -> str:
    """Return the Job's script, with folders of a test in place of the container's."""
    (script,) = INGEST["args"]
    assert INGEST["command"] == ["sh", "-c"]
    for name in ("/results/", "/access/"):
        assert name in script
        script = script.replace(name, f"{folder}{name}")
    return str(script)


def run_shard(folder: Path, shard: int, *, body: str) -> subprocess.Popen[str]:
    """Start the script of a shard with a program in the place of `fsclient`, which gets its arguments."""
    for name in ("results", "bin"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    program = folder / "bin" / "fsclient"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    environment = {variable["name"]: variable["value"] for variable in INGEST["env"] if "value" in variable}
    environment |= {"LIST": str(folder / "list"), "JOB_COMPLETION_INDEX": str(shard)}
    environment |= {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "FOLDER": str(folder)}
    return subprocess.Popen(["sh", "-c", ingest_script(folder)], env=environment, stdout=subprocess.PIPE, text=True)


def test_every_line_of_the_list_is_in_one_shard(tmp_path: Path) -> None:
    lines = [str(tmp_path / f"a photo {number}.jpg") for number in range(19)]
    for line in lines:
        Path(line).touch()
    (tmp_path / "list").write_text("".join(f"{line}\n" for line in lines))
    shards = JOB["spec"]["completions"]
    assert [v["value"] for v in INGEST["env"] if v["name"] == "SHARDS"] == [str(shards)]
    assert JOB["spec"]["completionMode"] == "Indexed"
    taken = []
    for shard in range(shards):
        process = run_shard(tmp_path, shard, body='printf "%s\\n" "$@" > "$FOLDER/arguments"')
        assert process.wait(30) == 0
        arguments = (tmp_path / "arguments").read_text().splitlines()
        options = params(fsclient, arguments)
        assert options["out"] == tmp_path / "results" / f"shard-{shard}"
        search = PhotoSearch([], listed=path_lines(options["from_file"]), rules=SourceRules(share=options["shard"]))
        taken += [entry.source for entry in search]
    assert sorted(taken) == sorted(lines)


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (3, 0), (4, 4), (2, 2)])
def test_a_shard_ends_as_its_photos_did(tmp_path: Path, code: int, expected: int) -> None:
    (tmp_path / "list").write_text("photo.jpg\n" * JOB["spec"]["completions"])
    assert run_shard(tmp_path, 0, body=f"exit {code}").wait(30) == expected


def test_a_shard_that_is_stopped_may_finish_what_it_does(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("photo.jpg\n" * JOB["spec"]["completions"])
    body = 'trap \'echo written > "$FOLDER/said"; exit 130\' TERM; echo > "$FOLDER/begun"; while :; do sleep 0.1; done'
    process = run_shard(tmp_path, 0, body=body)
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    assert (tmp_path / "said").read_text() == "written\n"


def test_links_in_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[)#]", (K8S / "README.md").read_text()):
        assert (K8S / target).exists(), target
