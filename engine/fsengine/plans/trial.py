"""A repository with plans, tried on loopback against golden answers; steps that fail get their graphs back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from fsengine.errors import InferenceError, PackError, ServerError
from fsengine.gpu import Gpu
from fsengine.plans.build import refusal
from fsengine.plans.built_plans import BUILT, PLAN_FILE, PlansRecord, write_plans
from fsengine.plans.child_process import wait_or_kill
from fsengine.plans.gpu_defaults import pool_mib
from fsengine.plans.gpu_repository import write_gpu_repository
from fsengine.repository.assemble import GOLDEN_FILE
from fsengine.repository.golden.golden_answers import Answers, read_answers
from fsengine.repository.golden.questions import golden_client
from fsengine.repository.golden.verification import ServerCheck, check_blocks, verify_server
from fsengine.server.embedded import EmbeddedServer
from fsengine.server.listening import LOOPBACK, free_port
from fsengine.server.triton_command import LOAD_THREADS_OF_PLANS, TritonOptions, triton_command
from fsengine.terminal.messages import Say
from fsengine.terminal.tables import show

Serve = Callable[[Path], AbstractContextManager[str]]
"""Serves a repository on loopback, models that do not load left out; gives `host:port` of its gRPC."""

START_TIMEOUT_S = 1200.0
"""Plans load, CUDA graphs are captured, warm-up requests run."""

_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.2
_ANSWER_TIMEOUT_S = 5.0


def try_plans(source: Path, planned: Path, record: PlansRecord, gpu: Gpu, serve: Serve, say: Say) -> PlansRecord:
    """Serve a repository with plans, compare each step, and give those that fail their graphs back, until none fails.

    Args:
        source: The repository with graphs that it was made from.
        planned: The repository with plans; nobody else serves it meanwhile.
        record: What its `plans.json` says.
        gpu: Which it is for.
        serve: See `Serve`.
        say: Called with each line for people.

    Returns:
        What became of each step: the repository says the same, and that it was checked.

    Raises:
        PackError: There are no golden answers in `source`, or a folder cannot be written.
        ServerError: The server does not start, not even without plans.
    """
    if not (source / GOLDEN_FILE).is_file():
        raise PackError(
            f"{source} has no {GOLDEN_FILE}, the answers that plans are compared with, so that none is used; assemble "
            "it where the models were built: fsclient models build PACK --target gpu"
        )
    golden = read_answers(source / GOLDEN_FILE)
    while True:
        say(f"trying the plans of {', '.join(record.of(BUILT)) or 'no step'} on loopback")
        check, failed = _tried(planned, record.of(BUILT), golden, serve)
        if not failed:
            break
        for step, why in failed.items():
            say(refusal(step, why))
        record = record.refusing(failed)
        plans = {step: planned / step / "1" / PLAN_FILE for step in record.of(BUILT)}
        write_gpu_repository(source, planned, gpu, record, plans)
    assert check is not None  # a server that does not answer has failed
    _tell(check, say)
    record = replace(record, checked=True)
    write_plans(planned, record)
    return record


def _tried(planned: Path, built: list[str], golden: Answers, serve: Serve) -> tuple[ServerCheck | None, dict[str, str]]:
    """Return how a repository with plans of some steps answers, and which of them fail, with why."""
    try:
        with serve(planned) as url, golden_client(url) as server:
            try:
                check = verify_server(server, golden)
                lives = server.answers(_ANSWER_TIMEOUT_S)
            except InferenceError as exc:  # without one of its steps there is no ensemble
                silent = [step for step in built if not server.is_ready(step)] or built
                if not silent:
                    raise
                return None, dict.fromkeys(silent, f"its plan does not load, see the server's log ({exc})")
    except ServerError as exc:
        if not built:
            raise
        return None, dict.fromkeys(built, f"the server does not start with the plans: {exc}")
    failed = {each.model: each.why for each in check.failed if each.model in built}
    # The first question that a server died of; what came after it was never asked.
    return check, failed if lives else dict(list(failed.items())[:1])


def _tell(check: ServerCheck, say: Say) -> None:
    show(check_blocks(check), err=True)
    for each in check.failed:
        say(f"WARNING: {each.model} differs from the golden answers WITHOUT a plan of its own: {each.why}")


def _is_up(url: str) -> bool:
    # A gRPC channel that once failed waits longer and longer before it tries again.
    with golden_client(url) as server:
        return server.answers(_ANSWER_TIMEOUT_S)


@contextmanager
def stand_in_server(repository: Path, gpu: Gpu) -> Iterator[str]:
    """Serve a repository for the pip package's Triton; see `Serve`."""
    with EmbeddedServer(repository, gpu=gpu) as server:
        yield server.url


@contextmanager
def native_server(repository: Path, program: str, gpu: Gpu, num_gpus: int) -> Iterator[str]:
    """Serve a repository with tritonserver itself; see `Serve`.

    Raises:
        ServerError: It does not start.
    """
    grpc_port, http_port, metrics_port = free_port(LOOPBACK), free_port(LOOPBACK), free_port(LOOPBACK)
    options = TritonOptions(
        repository=repository,
        num_gpus=num_gpus,
        program=program,
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        grpc_threads=0,
        load_threads=LOAD_THREADS_OF_PLANS,
        cuda_memory_mib=pool_mib(gpu.memory_mib),
        exit_timeout_s=0,
        every_model=False,
    )
    url = f"{LOOPBACK}:{grpc_port}"
    try:
        process = subprocess.Popen(triton_command(options), stdout=sys.stderr, stderr=sys.stderr)
    except OSError as exc:
        raise ServerError(f"{program} cannot be run: {exc.strerror}") from exc
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _is_up(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"{program} was not ready on {url} (exit status {process.poll()})")
            time.sleep(_POLL_S)
        yield url
    finally:
        process.terminate()
        wait_or_kill(process, _STOP_TIMEOUT_S)
