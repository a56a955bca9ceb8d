"""The server container's entrypoint: what it refuses, and what it becomes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from certificates import Certificate
from fake_programs import PLANS, FakePrograms, write_repository
from fsengine.container.repository_state import RepositoryState
from fsengine.container.start_checks import start_warnings
from fsengine.errors import InvalidInputError
from fsengine.plans.gpu_defaults import pool_mib
from fsengine.repository.assemble import Target
from fsengine.server.access.tls import ServerTls
from fsengine.server.triton_command import TritonOptions, triton_command


@pytest.fixture
def programs(tmp_path: Path) -> FakePrograms:
    (tmp_path / "bin").mkdir()
    return FakePrograms(folder=tmp_path / "bin")


@pytest.fixture
def gpu_machine(programs: FakePrograms) -> FakePrograms:
    programs.add_gpu()
    programs.add_server()
    return programs


def test_plans_that_fit_are_served_on_the_gpu(gpu_machine: FakePrograms, tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository", target="gpu", plans=PLANS)
    done = gpu_machine.fsengine(
        *("start", "--repository", str(repository), "--address", "0.0.0.0", "--published", "127.0.0.1"),
        *("--", "--log-verbose=1"),
    )
    assert done.returncode == 0, done.stderr
    arguments = json.loads(done.stdout)
    assert arguments[0] == f"--model-repository={repository}"
    assert {"--grpc-address=0.0.0.0", "--grpc-port=8001", "--allow-gpu-metrics=true"} <= set(arguments)
    assert f"--cuda-memory-pool-byte-size=0:{pool_mib(81559) << 20}" in arguments
    assert arguments[-1] == "--log-verbose=1"
    # CUDA graphs are captured while plans load, which other models would break.
    assert "--model-load-thread-count=1" in arguments
    assert "plans of detect, embed" in done.stderr


def test_graphs_are_served_without_a_gpu(programs: FakePrograms, tmp_path: Path) -> None:
    programs.add_server()
    repository = write_repository(tmp_path / "repository")
    done = programs.fsengine("start", "--repository", str(repository))
    assert done.returncode == 0, done.stderr
    arguments = json.loads(done.stdout)
    assert "--allow-gpu-metrics=false" in arguments
    assert not [argument for argument in arguments if "memory-pool" in argument]
    assert "--http-address=127.0.0.1" in arguments
    assert "--model-load-thread-count=8" in arguments


def test_plans_of_another_gpu_are_served_with_a_warning(gpu_machine: FakePrograms, tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository", target="gpu", plans={**PLANS, "gpu": "NVIDIA L4"})
    done = gpu_machine.fsengine("start", "--repository", str(repository))
    assert done.returncode == 0
    assert "warning: the repository was made for NVIDIA L4, this is NVIDIA H100" in done.stderr
    assert "fsengine build" in done.stderr


def test_every_gpu_of_the_first_s_kind_is_used(gpu_machine: FakePrograms, tmp_path: Path) -> None:
    h100 = ("NVIDIA H100 80GB HBM3", "9.0", 81559)
    gpus = [("GPU-1", *h100), ("GPU-2", "NVIDIA T400", "7.5", 4096), ("GPU-3", *h100)]
    gpu_machine.add_driver(f"devices = {gpus!r}")
    gpu_machine.add("tritonserver", 'echo "$CUDA_VISIBLE_DEVICES $*"')
    repository = write_repository(tmp_path / "repository", target="gpu")
    done = gpu_machine.fsengine("start", "--repository", str(repository))
    assert done.returncode == 0, done.stderr
    seen, *arguments = done.stdout.split()
    assert seen == "0,2"
    pool = pool_mib(81559) << 20
    assert {f"--cuda-memory-pool-byte-size={gpu}:{pool}" for gpu in (0, 1)} <= set(arguments)


def test_a_missing_driver_is_said_before_the_server_starts(programs: FakePrograms, tmp_path: Path) -> None:
    programs.add_server()
    repository = write_repository(tmp_path / "repository", target="gpu")
    done = programs.fsengine("start", "--repository", str(repository))
    assert done.returncode == 1
    assert "there is no NVIDIA driver here that works" in done.stderr


def test_a_driver_that_fails_is_quoted(gpu_machine: FakePrograms, tmp_path: Path) -> None:
    gpu_machine.add_driver("fault = 'Driver/library version mismatch'")
    repository = write_repository(tmp_path / "repository", target="gpu", plans=PLANS)
    done = gpu_machine.fsengine("start", "--repository", str(repository))
    assert done.returncode == 1
    assert "version mismatch" in done.stderr


def test_a_missing_server_is_said(programs: FakePrograms, tmp_path: Path) -> None:
    done = programs.fsengine("start", "--repository", str(write_repository(tmp_path / "repository")))
    assert done.returncode == 1
    assert "tritonserver is not on the PATH" in done.stderr
    assert "use the embedded server" in done.stderr


def test_too_little_shared_memory_is_a_warning() -> None:
    state = RepositoryState(folder=Path("/models/container"), pack="lite", target=Target.CONTAINER, plans=None)
    assert start_warnings(state, [], 1 << 30) == []
    (warning,) = start_warnings(state, [], 64 << 20)
    assert "64 MiB free, expected 1024" in warning
    assert "shm_size" in warning


@pytest.mark.parametrize("folder", ["/srv/face-stats/repository", "/srv/a b", "../repository"])
def test_a_path_that_dali_s_backend_does_not_take_is_a_warning(folder: str) -> None:
    state = RepositoryState(folder=Path(folder), pack="lite", target=Target.CONTAINER, plans=None)
    (warning,) = start_warnings(state, [], 1 << 30)
    assert "letters, digits, dots, underlines and slashes alone" in warning


@pytest.mark.parametrize(
    "wrong", [{"http_port": 8001}, {"metrics_port": 8001}, {"grpc_threads": 1}, {"grpc_threads": 129}]
)
def test_wrong_options_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError):
        TritonOptions(repository=Path("repository"), num_gpus=0, **wrong)  # type: ignore[arg-type]


def test_nothing_lets_clients_load_models_or_share_memory() -> None:
    command = triton_command(TritonOptions(repository=Path("repository"), num_gpus=1))
    assert "--model-control-mode=none" in command
    assert not [argument for argument in command if "shm" in argument]


def test_other_machines_reach_it_with_tls_and_a_token_alone(
    programs: FakePrograms, tmp_path: Path, certificate: Certificate
) -> None:
    programs.add_server()
    repository = write_repository(tmp_path / "repository")
    start = ("start", "--repository", str(repository), "--address", "0.0.0.0")
    for told in ((), ("--published", "192.0.2.7"), ("--published", "0.0.0.0", *certificate.options)):
        refused = programs.fsengine(*start, *told)
        assert refused.returncode == 2
        assert "other machines could reach it" in refused.stderr
    (tmp_path / "token").write_text("0123456789abcdef0123\n")
    secured = programs.fsengine(*start, *certificate.options, "--token-file", str(tmp_path / "token"))
    assert secured.returncode == 0, secured.stderr
    arguments = json.loads(secured.stdout)
    assert f"--grpc-server-cert={certificate.path}" in arguments
    assert "--grpc-restricted-protocol=inference,statistics:token=0123456789abcdef0123" in arguments
    assert programs.fsengine(*start, "--insecure").returncode == 0


VARIABLES = ("FACESTATS_TLS_CERT", "FACESTATS_TLS_KEY", "FACESTATS_TLS_CLIENT_CA", "FACESTATS_TOKEN_FILE")


def test_variables_say_what_options_say_and_empty_ones_say_nothing(
    programs: FakePrograms, tmp_path: Path, certificate: Certificate
) -> None:
    programs.add_server()
    start = ("start", "--repository", str(write_repository(tmp_path / "repository")), "--address", "0.0.0.0")
    (tmp_path / "token").write_text("0123456789abcdef0123\n")
    nothing = dict.fromkeys((*VARIABLES, "FACESTATS_INSECURE"), "")  # as compose.yaml sets them
    files = (certificate.path, certificate.key, certificate.path, tmp_path / "token")
    secured = dict(zip(VARIABLES, map(str, files), strict=True))

    def started(**changes: str) -> subprocess.CompletedProcess[str]:
        return programs.fsengine(*start, variables={**nothing, **changes})

    assert started(FACESTATS_BIND="127.0.0.1").returncode == 0
    assert started(FACESTATS_BIND="0.0.0.0").returncode == 2
    assert started(FACESTATS_BIND="0.0.0.0", FACESTATS_INSECURE="0").returncode == 2
    assert started(FACESTATS_BIND="0.0.0.0", FACESTATS_INSECURE="1").returncode == 0
    done = started(FACESTATS_BIND="0.0.0.0", **secured)
    assert done.returncode == 0, done.stderr
    arguments = json.loads(done.stdout)
    assert {"--grpc-use-ssl-mutual=1", f"--grpc-root-cert={certificate.path}"} <= set(arguments)
    assert "--http-restricted-api=inference,statistics:token=0123456789abcdef0123" in arguments


def test_options_of_one_s_own_take_neither_tls_nor_token_away(certificate: Certificate) -> None:
    own = ("--grpc-restricted-protocol=trace:key=secret",)
    tls = ServerTls(certificate=certificate.path, key=certificate.key)
    command = triton_command(TritonOptions(repository=Path("repository"), num_gpus=0, tls=tls, extra=own))
    assert "--grpc-use-ssl=1" in command
    assert command[-1] == own[0]
    with pytest.raises(InvalidInputError, match="exclude each other"):
        TritonOptions(repository=Path("repository"), num_gpus=0, tls=tls, token="0123456789abcdef", extra=own)
