"""`fsclient serve` as a process of its own on a port that stays, killed and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from forwarded_server import ForwardedServer
from fsengine.server.listening import LOOPBACK, free_port
from watched_processes import Family, Process

START_S = 180.0
MOST_STARTS = 3
"""A start may fail once or twice on a machine that is far too busy."""

CRASH = re.compile(r"boost::interprocess::lock_exception|libtriton_python\.so|a step of the embedded server died")
"""What is said where a step was killed, which Triton goes on without and `serve` ends for; and what the log of Triton
2.51 says where it died of itself: its Python backend takes a step that hangs, or that waits too long for a core, for
dead, and what it then does to their shared memory kills the server now and then, as that of later ones does
(triton-inference-server/server issue 8882)."""


class RestartableServer:
    """A server and all of its processes.

    Attributes:
        port: Its gRPC port.
        log: What it says.
        family: Its processes, those that were killed before among them.
        num_failed_starts: Starts that ended before it was ready, though nobody killed it.
        num_crashes: Times that Triton died of itself afterwards, in the way of `CRASH`; it was started again.
    """

    def __init__(self, fsclient_command: list[str], folder: Path) -> None:
        """Prepare.

        Args:
            fsclient_command: How `fsclient` is started.
            folder: For its log and what it holds while it runs.
        """
        self.port = free_port(LOOPBACK)
        self.log = folder / "server.log"
        self.family = Family()
        self.num_failed_starts = 0
        self.num_crashes = 0
        self._temporary = Path(tempfile.mkdtemp(prefix="fs-serve-"))
        self._ready = folder / "ready"
        self._command = [*fsclient_command, "serve", "--models", "lite", "--grpc-port", str(self.port)]
        self._command += ["--ready-file", str(self._ready)]
        self._process: subprocess.Popen[bytes] | None = None
        self._killed: list[int] = []
        self._num_tries = 0
        self._said_before = 0

    @property
    def url(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Begin to start it, also where it runs; `is_ready` says when it has."""
        self._num_tries += 1
        self.kill()
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        self._ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            environment = {**os.environ, "TMPDIR": str(self._temporary)}
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self.family.add(self._process.pid)

    def kill(self) -> None:
        """Kill its first process, and so the port that others see; what is behind it ends by itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._killed.append(self._process.pid)
            self._process = None

    def is_ready(self) -> bool:
        """Return whether it answers; one that failed to start is started again."""
        if self._process is None:
            return False
        if self._process.poll() is not None:
            self._start_after_an_end()
            return False
        if not self._ready.exists():  # it starts, or is about to end
            return False
        self._num_tries = 0
        return True

    def _start_after_an_end(self) -> None:
        said, num_tries = self._said(), self._num_tries
        self.start()
        if num_tries:
            assert num_tries < MOST_STARTS, f"the server does not start:\n{said}"
            self.num_failed_starts += 1
        else:
            assert CRASH.search(said), f"the server died, and nobody killed it:\n{said}"
            self.num_crashes += 1

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[self._said_before :]

    def wait(self) -> None:
        """Wait until it is ready."""
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            assert time.monotonic() < deadline, self._said()
            time.sleep(0.05)

    def first(self) -> list[Process]:
        """Return the process that callers reach, where it runs."""
        found = None if self._process is None else Process.of(self._process.pid)
        return [] if found is None else [found]

    def triton(self) -> list[Process]:
        """Return Triton, where it runs."""
        return self.family.living(r"^\S*tritonserver ")

    def steps(self) -> list[Process]:
        """Return the processes that its models run in."""
        return self.family.living(r"triton_python_backend_stub")

    def left(self) -> list[str]:
        """Return what servers that were killed left: folders and shared memory."""
        of_killed = [f"facestats-{pid}-" for pid in self._killed]
        regions = [path for path in Path("/dev/shm").glob("facestats-*") if path.name.startswith(tuple(of_killed))]
        folders = sorted(self._temporary.glob("facestats-*"), key=lambda path: path.stat().st_mtime)
        return [*map(str, regions), *map(str, folders[:-1] if self._process is not None else folders)]

    def end(self) -> int:
        """Tell it to end, and return its status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        finally:
            self.kill()

    def clear_away(self) -> None:
        """Kill what is left of it, and remove its folder."""
        self.kill()
        self.family.hit(signal.SIGKILL)
        subprocess.run(["rm", "-rf", str(self._temporary)], check=True)


class CutServer(ForwardedServer):
    """An address that breaks off whoever comes while there is nothing behind it."""

    async def _forward(self, reader: object, writer: object) -> None:
        try:
            await super()._forward(reader, writer)  # type: ignore[arg-type]
        except OSError:
            writer.transport.abort()  # type: ignore[attr-defined]
