"""An ingest that is broken as a scenario says, and run again until it is through."""

from __future__ import annotations

import math
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from broken_things import BrokenThings
from fault_places import assert_same_rows, folder_parts, latest_rows, small_disk, store_parts
from fault_scenarios import Breaks, Planned, Readers, Scenario, Target
from fault_surroundings import Surroundings
from watched_processes import Family

PART_SIZE = 4
DONE = (0, 3)
GO_ON = (0, 1, 3, 4, 130)
MOST_ATTEMPTS = 25
ATTEMPT_S = 150.0
LEAVING_S = 20.0
LOOKED_AT_S = 0.02
FAMILY_LOOKED_AT_S = 0.25
NOTICED_S = 2.0
"""How long a server may take to notice that a step of it died, and to say so by its end."""

RAY_START_S = 6.0
"""Before workers of a cluster of this machine take photos."""

OF_RAY = r"ray::(?!MapWorker|NodeServer|StopSign)|/ray/(dashboard|_private)|default_worker\.py"
"""Ray's own agents and workers without work, which may take a minute to notice that their node is gone."""


@dataclass(slots=True)
class Attempt:
    """One start of the command.

    Attributes:
        in_calm: Whether everything worked when it started, and until it ended.
        seconds: How long it took.
        status: How it ended.
        said: The end of what it wrote to stderr.
    """

    in_calm: bool
    seconds: float = 0.0
    status: int | None = None
    said: str = ""


class FaultRun:
    """One scenario.

    Attributes:
        scenario: What it was.
        attempts: The starts of the command.
        happened: The faults that hit something.
        seconds: How long all of it took.
    """

    def __init__(self, scenario: Scenario, around: Surroundings, folder: Path) -> None:
        """Prepare.

        Args:
            scenario: What is to happen.
            around: What it happens to.
            folder: A new folder for the results, where they do not go elsewhere.
        """
        self.scenario = scenario
        self.attempts: list[Attempt] = []
        self.happened: list[Breaks] = []
        self.seconds = 0.0
        self._around = around
        self._folder = folder
        self._family = Family()
        self._client: subprocess.Popen[bytes] | None = None
        self._was_killed = False
        self._num_crashes = around.server.num_crashes

    def run(self) -> FaultRun:
        """Run it, and check what it leaves: the rows of an undisturbed run, no temporary file, and no process."""
        started = time.monotonic()
        # Ray's sockets lie in it, and their paths may not be long.
        self._temporary = Path(tempfile.mkdtemp(prefix="fs-"))
        try:
            self._around.server.wait()
            self._folder.mkdir()
            with small_disk(self._folder) if self.scenario.target is Target.TMPFS else nullcontext(False) as is_mounted:
                self._broken = BrokenThings(self.scenario, self._around, self._folder if is_mounted else None)
                try:
                    self._run(self._broken)
                finally:
                    self._broken.mend(math.inf)
                self._around.server.wait()
                self._check_rows()
            self._check_what_is_left()
        finally:
            self._family.hit(signal.SIGKILL)
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._around.store.clear(self._prefix)
            self.seconds = time.monotonic() - started
        return self

    def report(self) -> str:
        """Return what happened, for people."""
        attempts = [
            f"  attempt of {one.seconds:.1f} s{' in calm' if one.in_calm else ''}: {one.status}"
            for one in self.attempts
        ]
        happened = ", ".join(kind.value for kind in self.happened)
        if crashes := self._around.server.num_crashes - self._num_crashes:
            happened += f", Triton crashed of itself {crashes} times"
        return "\n".join([str(self.scenario), f"  happened: {happened or 'nothing'}", *attempts])

    def last_said(self) -> str:
        """Return what the last attempt said."""
        return self.attempts[-1].said if self.attempts else ""

    @property
    def _prefix(self) -> str:
        return f"results-{self.scenario.seed}/"

    @property
    def _out(self) -> str:
        if self.scenario.target is Target.STORE:
            return f"s3://{self._around.store.bucket}/{self._prefix.rstrip('/')}"
        return str(self._folder / "out")

    def _command(self) -> list[str]:
        source = self._around.photos.argument(self.scenario.source)
        server = f"127.0.0.1:{self._around.to_server.port}"
        command = [*self._around.command, "ingest", source, "--out", self._out, "--server", server]
        command += ["--part-size", str(PART_SIZE)]
        match self.scenario.readers:
            case Readers.TWO:
                command += ["--processes", "2"]
            case Readers.RAY:
                command += ["--runner", "ray", "--processes", "2"]
        return command

    def _run(self, broken: BrokenThings) -> None:
        waiting = [*self.scenario.faults]
        due = time.monotonic() + self._wait_s(waiting[0]) + (RAY_START_S if self._by_ray else 0.0)
        while True:
            assert len(self.attempts) < MOST_ATTEMPTS, "the command was run again and again, and never came through"
            attempt, begun, looked_at = self._start(), time.monotonic(), 0.0
            while self._client is not None and self._client.poll() is None:
                now = time.monotonic()
                if now - begun > ATTEMPT_S:
                    self._give_up_on(attempt, begun)
                if now - looked_at > FAMILY_LOOKED_AT_S:
                    self._family.look()
                    looked_at = now
                    attempt.in_calm &= self._all_is_well()
                broken.mend(now)
                if waiting and now >= due and broken.break_by(waiting[0], self._client.pid):
                    attempt.in_calm = False
                    self._was_killed |= waiting[0].breaks is Breaks.CLIENT_KILLED
                    self.happened.append(waiting.pop(0).breaks)
                    due = now + (self._wait_s(waiting[0]) if waiting else 0.0)
                time.sleep(LOOKED_AT_S)
            self._end(attempt, begun)
            if attempt.status in DONE:
                return

    @property
    def _by_ray(self) -> bool:
        return self.scenario.readers is Readers.RAY

    def _wait_s(self, fault: Planned) -> float:
        return fault.wait * self._around.run_s

    def _start(self) -> Attempt:
        attempt = Attempt(in_calm=self._all_is_well())
        self.attempts.append(attempt)
        self._was_killed = False
        with (self._folder.parent / f"stderr-{len(self.attempts)}").open("wb") as said:
            self._client = subprocess.Popen(
                self._command(),
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=self._around.environment(self._temporary),
                start_new_session=True,
            )
        self._family.add(self._client.pid)
        return attempt

    def _all_is_well(self) -> bool:
        """Return whether nothing is broken; a server that crashed of itself is started again."""
        return not self._broken.is_any() and self._around.server.is_ready()

    def _end(self, attempt: Attempt, begun: float) -> None:
        assert self._client is not None
        attempt.status, attempt.seconds = self._client.poll(), time.monotonic() - begun
        if attempt.in_calm and attempt.status != self._around.exit_code:
            time.sleep(NOTICED_S)
        attempt.in_calm &= self._all_is_well()
        said = (self._folder.parent / f"stderr-{len(self.attempts)}").read_text(errors="replace")
        attempt.said = said[-3000:]
        if self._was_killed:
            return
        assert attempt.status in GO_ON, f"it ended with {attempt.status}"
        assert "Traceback" not in said, "it wrote a traceback"
        assert not attempt.in_calm or attempt.status == self._around.exit_code, "it failed while all was well"

    def _give_up_on(self, attempt: Attempt, begun: float) -> None:
        """Have the client say where it is, and fail."""
        assert self._client is not None
        self._client.send_signal(signal.SIGCONT)
        self._client.send_signal(signal.SIGABRT)
        self._client.wait(10)
        self._was_killed = True
        self._end(attempt, begun)
        raise AssertionError(f"it did not end in {ATTEMPT_S:.0f} s")

    def _check_rows(self) -> None:
        if self.scenario.target is Target.STORE:
            parts = store_parts(self._around.store, self._prefix)
            assert self._around.store.unfinished_uploads() == []
        else:
            parts = folder_parts(Path(self._out))
        found = latest_rows(parts, self._around.photos.sources(self.scenario.source))
        assert_same_rows(found, self._around.expected)
        assert self.attempts[-1].status == self._around.exit_code

    def _check_what_is_left(self) -> None:
        deadline = time.monotonic() + LEAVING_S
        while left := self._left():
            assert time.monotonic() < deadline, f"left: {left}"
            time.sleep(0.1)

    def _left(self) -> list[str]:
        """Return what is left of clients, and of servers that were killed."""
        of_client = [p for p in self._family.living() if not _is_of_ray(self._family.seen[p])]
        files = [path for path in self._temporary.iterdir() if not (self._by_ray and path.name == "ray")]
        return [*(p.command for p in of_client), *map(str, files), *self._around.server.left()]


def _is_of_ray(command: str) -> bool:
    return re.search(OF_RAY, command) is not None
