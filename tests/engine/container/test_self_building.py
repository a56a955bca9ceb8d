"""What a server that builds its own plans does where things go wrong: it serves. The server is a small program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fake_nvml import write_pynvml
from fsengine.container import self_building
from fsengine.container.health import is_ready
from fsengine.container.self_building import GRAPHS, PLANNED, SelfBuilding
from fsengine.packs.shipped import shipped_folder
from fsengine.plans.built_plans import BUILT, PlansRecord, StepPlan, read_plans, source_id, write_plans
from fsengine.plans.gpu_repository import write_gpu_repository
from fsengine.repository.assemble import GOLDEN_FILE, Target, assemble
from fsengine.server.listening import LOOPBACK, free_port
from plan_toolchain import H200
from pretended_gpu import write_trtexec
from started_engine import StartedEngine, started_engine

TIMEOUT_S = 60.0

_SERVER = """#!{python}
import http.server, pathlib, sys
options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
print("serving", options["--model-repository"], flush=True)
if pathlib.Path(options["--model-repository"]).name == {dies_with!r}:
    sys.exit("it does not load")
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(options["--http-port"])), Ready).serve_forever()
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "repository"
    assemble(shipped_folder("packs") / "lite", folder, target=Target.GPU)
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine with a GPU that is pretended, and a place for plans.

    Attributes:
        folder: Of its programs.
        source: The repository with graphs.
    """

    folder: Path
    source: Path

    @property
    def plans(self) -> Path:
        return self.folder / "plans"

    def add_server(self, dies_with: str = "") -> None:
        """Write a server that is ready at once, and dies with one repository."""
        program = self.folder / "tritonserver"
        program.write_text(_SERVER.format(python=sys.executable, dies_with=dies_with))
        program.chmod(0o755)

    def starting(self, **variables: str) -> AbstractContextManager[StartedEngine]:
        """Start it there."""
        options = ["--repository", str(self.source), "--plans-in", str(self.plans)]
        options += ["--program", str(self.folder / "tritonserver"), "--trtexec", str(self.folder / "trtexec")]
        environment = os.environ | {"PYTHONPATH": str(self.folder)} | variables
        environment.pop("FACESTATS_MODELS", None)
        return started_engine(self.folder, environment, options)


@pytest.fixture
def machine(tmp_path: Path, source: Path) -> Machine:
    gpu = ("GPU-0", H200.name, "9.0", H200.memory_mib)
    write_pynvml(tmp_path, f"devices = [{gpu!r}]")
    write_trtexec(tmp_path)
    made = Machine(folder=tmp_path, source=source)
    made.add_server()
    return made


def write_tried_plans(machine: Machine, *, checked: bool = True) -> PlansRecord:
    """Write a repository that says of itself that its plans were tried."""
    record = PlansRecord(
        source=source_id(machine.source),
        gpu=H200.name,
        num_gpus=1,
        tensorrt="11.4.0.106",
        steps={"embed": StepPlan(state=BUILT, key="plan-0")},
        checked=checked,
    )
    plan = machine.folder / "plan"
    plan.write_bytes(b"plan")
    write_gpu_repository(machine.source, machine.plans / PLANNED, H200, record, {"embed": plan})
    return record


def test_serving_loads_no_compiled_library_that_a_build_needs() -> None:
    program = "import sys, fsengine.container.self_building\nprint({'numpy', 'PIL', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_plans_graphs_are_served_and_nothing_is_built(machine: Machine) -> None:
    with machine.starting(FACESTATS_PLANS="off") as started:
        started.wait_for(lambda: is_ready(started.url))
        assert started.said(f"serving .*/{GRAPHS}\n")
    assert not (machine.folder / "compiled").exists()
    assert not (machine.plans / PLANNED).exists()


def test_plans_that_were_tried_are_served_at_once(machine: Machine) -> None:
    write_tried_plans(machine)
    with machine.starting() as started:
        started.wait_for(lambda: is_ready(started.url))
        assert started.said(f"serving .*/{PLANNED}\n")
        assert started.end() == 128 + signal.SIGTERM
    assert not (machine.folder / "compiled").exists()


def test_a_server_that_does_not_start_with_plans_serves_graphs_and_distrusts_the_plans(machine: Machine) -> None:
    write_tried_plans(machine)
    machine.add_server(dies_with=PLANNED)
    with machine.starting() as started:
        started.wait_for(lambda: is_ready(started.url))
        assert started.said("did not start with plans")
        assert started.said(f"serving .*/{GRAPHS}\n")
    record = read_plans(machine.plans / PLANNED)
    assert record is None or not record.checked


@pytest.mark.parametrize("changed", ["keep", "gpu", "untried", "damaged"])
def test_plans_that_are_not_what_is_asked_for_are_built_anew(machine: Machine, changed: str) -> None:
    record = write_tried_plans(machine, checked=changed != "untried")
    variables = {"FACESTATS_KEEP_ONNX": "embed"} if changed == "keep" else {}
    if changed == "gpu":
        write_plans(machine.plans / PLANNED, replace(record, gpu="NVIDIA L4"))
    if changed == "damaged":
        (machine.plans / PLANNED / "plans.json").write_text("{")
    with machine.starting(**variables) as started:
        started.wait_for(lambda: is_ready(started.url))
        assert started.said(f"serving .*/{GRAPHS}\n")
        started.wait_for(lambda: (machine.folder / "compiled").exists())


def test_a_build_that_fails_keeps_the_server_up(machine: Machine, tmp_path: Path) -> None:
    # Without golden answers nothing can be tried.
    bare = tmp_path / "bare"
    assemble(shipped_folder("packs") / "lite", bare, target=Target.GPU)
    (bare / GOLDEN_FILE).unlink()
    with replace(machine, source=bare).starting() as started:
        started.wait_for(lambda: started.said("no plans were built"))
        assert started.said(r"has no golden\.npz")
        assert is_ready(started.url)
        assert started.process.poll() is None


def test_a_server_that_is_told_to_end_takes_the_build_with_it(machine: Machine) -> None:
    trtexec = machine.folder / "trtexec"
    trtexec.write_text(f'#!/bin/sh\n[ "$1" = --help ] && exit 0\necho $$ > {machine.folder}/pid\nexec sleep 600\n')
    with machine.starting() as started:
        started.wait_for(lambda: (machine.folder / "pid").exists() and (machine.folder / "pid").read_text().strip())
        compiler = int((machine.folder / "pid").read_text())
        started.end()
    started.wait_for(lambda: not Path(f"/proc/{compiler}").exists(), ended=True)


def test_a_place_that_cannot_be_written_leaves_the_repository_as_it_was_assembled(machine: Machine) -> None:
    machine.plans.write_text("a file")
    with machine.starting() as started:
        started.wait_for(lambda: is_ready(started.url))
        assert started.said("served as it was assembled")
        assert started.said(f"serving {re.escape(str(machine.source))}\n")


def test_plans_with_which_a_server_is_never_ready_are_given_up(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_building, "START_TIMEOUT_S", 0.5)
    hangs = [sys.executable, "-c", "import time; time.sleep(600)"]
    dies = [sys.executable, "-c", "raise SystemExit(7)"]
    said: list[str] = []
    machine = Machine(folder=tmp_path, source=source)
    write_tried_plans(machine)
    serving = SelfBuilding(
        source=source,
        folder=machine.plans,
        gpus=[H200],
        command=lambda folder, _: hangs if folder.name == PLANNED else dies,
        url=f"http://127.0.0.1:{free_port(LOOPBACK)}",
        build=["--trtexec", str(tmp_path / "nothing")],
        keep_onnx=(),
        say=said.append,
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert serving.run() == 7
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert any("did not start with plans" in line for line in said)


def test_a_server_that_dies_without_plans_ends_with_its_status(machine: Machine) -> None:
    machine.add_server(dies_with=GRAPHS)
    with machine.starting(FACESTATS_PLANS="off") as started:
        assert started.process.wait(TIMEOUT_S) == 1, started.log.read_text()
