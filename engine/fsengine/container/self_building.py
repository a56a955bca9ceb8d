"""A server that builds its own plans: graphs are served at once, and plans as soon as they were built and tried."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from fsengine.container.health import is_ready
from fsengine.errors import FaceStatsError
from fsengine.gpu import Gpu
from fsengine.plans.built_plans import (
    BUILT,
    PENDING,
    REFUSED,
    PlansRecord,
    StepPlan,
    read_plans,
    source_id,
    write_plans,
)
from fsengine.plans.child_process import BY_SIGNAL, wait_or_kill
from fsengine.plans.gpu_repository import graphs_of, write_gpu_repository
from fsengine.terminal.messages import Say

GRAPHS, PLANNED, STORE = "graphs", "repository", "store"
"""In the folder of plans: the repository with this machine's instances, that with plans too, and built plans."""

START_TIMEOUT_S = 1200.0
"""Of a server with plans that were tried before: less than the half hour after which Kubernetes starts it anew."""

_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.2
_RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from fsengine.cli import main; main(prog_name='fsengine')"


class _Outcome(Enum):
    ENDED = "ended"
    NEVER_READY = "never ready"
    PLANS_ARE_READY = "plans are ready"


@dataclass(slots=True, kw_only=True)
class SelfBuilding:
    """One run of it.

    Attributes:
        source: The repository with graphs.
        folder: Where plans and repositories with them lie.
        gpus: Those that serve.
        command: Makes the command line of the server of a repository.
        url: HTTP address of the server.
        build: Options of `fsengine build`; None serves without plans.
        keep_onnx: Steps that are to stay with ONNX Runtime.
        say: Called with each line for people.
    """

    source: Path
    folder: Path
    gpus: Sequence[Gpu]
    command: Callable[[Path, PlansRecord | None], list[str]]
    url: str
    build: Sequence[str] | None
    keep_onnx: tuple[str, ...]
    say: Say
    _stopped: bool = False
    _builder: subprocess.Popen[bytes] | None = None
    _server: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Serve until the server ends, or this process is told to; return the server's exit status, as a shell does."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        planned = None if self.build is None else self._planned()
        while True:
            if self.build is not None and planned is None:
                self._builder = self._start_build(self.build)
                self.build = None  # once in the life of this process
            repository, record = planned or self._graphs()
            self._server = server = subprocess.Popen(self.command(repository, record))
            if self._stopped:  # told before the server was there to be told
                server.terminate()
            match self._watch(server, START_TIMEOUT_S if planned else math.inf):
                case _Outcome.PLANS_ARE_READY:
                    self.say("the plans were built and tried: the server starts again with them")
                    server.terminate()
                    wait_or_kill(server, _STOP_TIMEOUT_S)
                    planned = self._planned()
                case _Outcome.NEVER_READY if planned is not None:
                    self._distrust(*planned)
                    planned = None
                case _:
                    self._end_build()
                    status = server.wait()
                    return status if status >= 0 else BY_SIGNAL - status

    def _watch(self, server: subprocess.Popen[bytes], most_s: float) -> _Outcome:
        """Wait until the server ends, or plans are ready; one that is not ready in time is killed."""
        was_ready = False
        deadline = time.monotonic() + most_s
        while server.poll() is None:
            was_ready = was_ready or is_ready(self.url)
            if not was_ready and time.monotonic() > deadline:
                server.kill()
            if self._builder is not None and self._builder.poll() is not None and self._has_built(self._builder):
                return _Outcome.PLANS_ARE_READY
            time.sleep(_POLL_S)
        return _Outcome.ENDED if was_ready or self._stopped else _Outcome.NEVER_READY

    def _has_built(self, builder: subprocess.Popen[bytes]) -> bool:
        """Return whether a build that ended left plans to serve."""
        self._builder = None
        record = self._read_planned()
        if builder.returncode == 0 and record is not None:
            if record.of(BUILT):
                return True
            self.say("WARNING: every plan was refused: THE GRAPHS GO ON SERVING IN ONNX RUNTIME")
            return False
        self.say(
            f"WARNING: no plans were built (fsengine build ended with {builder.returncode}, its words are above): THE "
            "GRAPHS GO ON SERVING IN ONNX RUNTIME. FACESTATS_PLANS=off leaves building out"
        )
        return False

    def _read_planned(self) -> PlansRecord | None:
        """Return what the repository with plans says, if it is of these models and GPUs and was tried."""
        try:
            record = read_plans(self.folder / PLANNED)
        except (FaceStatsError, OSError) as exc:
            self.say(f"WARNING: {exc}")
            return None
        if record is None or not record.made_for(self.source, self.gpus[0], len(self.gpus)):
            return None
        return record if record.checked and record.keeps(self.keep_onnx) else None

    def _planned(self) -> tuple[Path, PlansRecord] | None:
        """Return the repository with plans, if it can be served, and say which steps have none."""
        if (record := self._read_planned()) is None:
            return None
        for step in record.of(REFUSED):
            self.say(f"WARNING: {step} RUNS IN ONNX RUNTIME, its plan was refused: {record.steps[step].why}")
        return self.folder / PLANNED, record

    def _graphs(self) -> tuple[Path, None]:
        """Return the repository with graphs and this machine's instances; as it was assembled, if that fails."""
        folder = self.folder / GRAPHS
        wanted = self.build is not None or self._builder is not None
        steps = {step: StepPlan(state=PENDING) for step in graphs_of(self.source) if wanted}
        record = PlansRecord(source=source_id(self.source), gpu=self.gpus[0].name, num_gpus=len(self.gpus), steps=steps)
        try:
            write_gpu_repository(self.source, folder, self.gpus[0], record)
        except (FaceStatsError, OSError) as exc:
            self.say(f"WARNING: {exc}; the repository is served as it was assembled, for any GPU")
            return self.source, None
        return folder, None

    def _distrust(self, folder: Path, record: PlansRecord) -> None:
        """Do not serve plans again that the server did not start with, before they were tried anew."""
        self.say(
            "WARNING: the server did not start with plans, its words are above: THE GRAPHS ARE SERVED IN ONNX RUNTIME, "
            "and the plans are built and tried anew"
        )
        with suppress(FaceStatsError, OSError):
            write_plans(folder, replace(record, checked=False))

    def _start_build(self, options: Sequence[str]) -> subprocess.Popen[bytes]:
        """Build plans beside the server."""
        self.say("plans are built and tried beside the server, minutes for a large encoder; it starts again with them")
        isolated = ["-I"] if sys.flags.isolated else []
        packages = str(Path(__file__).absolute().parents[2])
        command = [sys.executable, *isolated, "-c", _RUN, packages, "build", str(self.source)]
        command += ["--out", str(self.folder / PLANNED), *options]
        command += [word for step in self.keep_onnx for word in ("--keep-onnx", step)]
        store = {"FACESTATS_MODELS": os.environ.get("FACESTATS_MODELS") or str(self.folder / STORE)}
        # A group of its own: compilers that it started end with it.
        return subprocess.Popen(command, env=os.environ | store, start_new_session=True)

    def _stop(self, number: int, _frame: object) -> None:
        """Pass a signal on to the server; a build is killed at the end."""
        self._stopped = True
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(number)

    def _end_build(self) -> None:
        """Kill a build, and the compiler that it started."""
        if self._builder is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._builder.pid, signal.SIGKILL)
            self._builder.wait()
