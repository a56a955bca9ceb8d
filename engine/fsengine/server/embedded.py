"""Start, watch and stop the embedded server."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from fsengine.errors import InvalidInputError, ServerError
from fsengine.gpu import Gpu, only
from fsengine.server import binary, shared_memory
from fsengine.server.access.token import hide_in_command_line
from fsengine.server.front.grpc_front import GrpcFront
from fsengine.server.interpreter import check_machine, default_library_folder
from fsengine.server.listening import LOOPBACK, Listening, free_port
from fsengine.server.supervisor import COMMAND_FILE, DRAIN
from fsengine.server.surroundings import RunFolder, environment, furnish, make_run_folder
from fsengine.server.threads import plan_threads
from fsengine.server.watch import start_log
from fsengine.server.watch.watching import LOOKED_AT_S, DeadSteps, ReadyProbe, StartWatch, server_pid

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 45.0

_POLL_S = 0.02
_PORT_ATTEMPTS = 3
_KEPT_LOGS = 20

_SUPERVISOR = "fsengine.server.supervisor"
_RUN_ISOLATED = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)
"""Run isolated (`-I`): nothing is imported from the user's current folder, whatever it holds."""


def logs_folder() -> Path:
    """Return the folder of server logs, below the XDG state folder."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser().absolute() / "facestats" / "logs"


class EmbeddedServer:
    """A Triton server that lives as long as a `with` block, or as this process; on loopback unless said otherwise.

    Attributes:
        repository: The assembled repository that it serves.
        url: `host:port` of its gRPC endpoint, once started.
        listening: Where it listens, once started with the ports that it has.
        log_path: File that holds what it writes.
        photos_in_flight: The most photos that shared memory has room for.
        secrets_are_visible: Whether the list of processes shows what callers have to show, which the kernel did not let
            it overwrite there.
    """

    def __init__(self, repository: Path, *, gpu: Gpu | None = None, listening: Listening | None = None) -> None:
        """Prepare a server; `start` or a `with` block starts it.

        Args:
            repository: An assembled repository.
            gpu: The one GPU that the server sees; None leaves it as it is in this process.
            listening: Where it listens and whom it answers, which callers of any kind may then do: a `GrpcFront` stands
                between them and Triton. None for this process alone: Triton itself, on a free port of loopback.
        """
        self.repository = repository.absolute()
        self.listening = self._triton = listening or Listening()
        self._asked = listening
        self._front: GrpcFront | None = None
        self._gpu = gpu
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._run: RunFolder | None = None
        self._shm_prefix = ""
        self.url = ""
        self.log_path = Path()
        self.photos_in_flight = 0
        self.secrets_are_visible = False

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it is ready.

        Raises:
            ServerError: The machine, /dev/shm or the repository cannot be used; the log is named and quoted.
            MissingDependencyError: The `server` extra is not installed.
            InvalidInputError: It cannot listen where it shall.
        """
        check_machine()
        library_folder = default_library_folder()
        shared_memory.remove_dead_regions()
        self.photos_in_flight = shared_memory.photos_in_flight(shared_memory.free_shared_memory())
        self.log_path = _new_log()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.listening = self._triton = _with_ports(self._asked or Listening())
            if self._asked is not None:
                self._triton = replace(self.listening, host=LOOPBACK, grpc_port=free_port(LOOPBACK), tls=None)
            self.secrets_are_visible = True
            started = time.time()
            self._spawn(library_folder)
            try:
                self._wait_ready()
                self._open_front()
            except ServerError:
                self.stop()
                if attempt < _PORT_ATTEMPTS and "Address already in use" in self.log_path.read_text(errors="replace"):
                    continue
                raise
            except BaseException:
                self.stop()
                raise
            finally:
                binary.remove_environment_folders(started)
            self.url = f"{self.listening.address}:{self.listening.grpc_port}"
            return

    def _open_front(self) -> None:
        """Let callers in, where there are others than this process."""
        if self._asked is not None:
            self._front = GrpcFront(self.listening, f"{LOOPBACK}:{self._triton.grpc_port}")
            self._front.start()

    def _hide_secrets(self) -> None:
        """Take what callers have to show out of the list of processes, where all users of the machine could read it."""
        assert self._run is not None
        # From its first line on, the server has read its options.
        if self.secrets_are_visible and start_log.has_begun(self.log_path.read_text(errors="replace")):
            pid = server_pid(self._run)
            shown = (self._triton.token, self._triton.closed_key)
            hidden = pid is not None and all(hide_in_command_line(pid, secret) for secret in shown if secret)
            self.secrets_are_visible = not hidden

    def alive(self) -> bool:
        """Return whether the server still runs."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def wait(self) -> None:
        """Wait until the server dies by itself, or a step of it does, which Triton goes on without.

        Raises:
            ServerError: It did.
        """
        assert self._supervisor is not None
        steps = DeadSteps()
        # A signal that another thread gets, such as one of gRPC's, wakes no system call of this one.
        while self._supervisor.poll() is None:
            time.sleep(LOOKED_AT_S)
            if steps.found(self._run):
                raise ServerError(
                    "a step of the embedded server died, and no request is answered without it: start the server again"
                    f"{self._log_tail()}"
                )
        raise ServerError(f"the embedded server died{self._log_tail()}")

    def stop(self, *, drain: bool = False) -> None:
        """Stop the server and everything that it started; does nothing when it is stopped already.

        Args:
            drain: Whether requests in flight are answered first, for 30 seconds at most; takes three or more.
        """
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        front, self._front = self._front, None
        if front is not None:
            front.stop(drain=drain)
        assert supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            if drain:
                supervisor.stdin.write(DRAIN)
            supervisor.stdin.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                supervisor.wait(STOP_TIMEOUT_S)
        finally:
            if supervisor.poll() is None:  # a second Ctrl-C gives up what is in flight
                supervisor.kill()
                supervisor.wait()
            if self._run is not None and self._run.root.exists():
                self._clear_away(self._run)

    def _clear_away(self, run: RunFolder) -> None:
        """Do what the supervisor, killed itself, could not."""
        if (pid := server_pid(run)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        shared_memory.remove_regions(self._shm_prefix)
        shutil.rmtree(run.root, ignore_errors=True)

    def _spawn(self, library_folder: Path) -> None:
        """Start the supervisor, which starts the server."""
        self._shm_prefix = prefix = shared_memory.region_prefix(os.getpid())
        self._run = run = make_run_folder()
        try:
            furnish(run, self.repository, library_folder)
            command = binary.server_command(
                run.repository, run.backends, self._triton, prefix, shared_memory.REGION_BYTES
            )
            (run.root / COMMAND_FILE).touch(mode=0o600)
            (run.root / COMMAND_FILE).write_bytes(os.fsencode("\0".join(command)))
            packages = Path(__file__).absolute().parents[2]
            self._supervisor = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-c", _RUN_ISOLATED, str(packages), _SUPERVISOR),
                    *(str(run.root), prefix, str(self.log_path)),
                ],
                stdin=subprocess.PIPE,
                cwd=run.current,
                env=environment(run, plan_threads()) | ({} if self._gpu is None else only(self._gpu)),
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(run.root, ignore_errors=True)
            raise

    def _wait_ready(self) -> None:
        """Wait until the server says that every model is ready."""
        assert self._supervisor is not None
        started = time.monotonic()
        watch = StartWatch(self.log_path)
        probe = ReadyProbe(self._triton)
        try:
            while self._supervisor.poll() is None:
                if time.monotonic() - started > START_TIMEOUT_S:
                    raise ServerError(f"the embedded server was not ready in {START_TIMEOUT_S:.0f} s{self._log_tail()}")
                if watch.has_failed(self._run):
                    break
                self._hide_secrets()
                if probe.is_ready():
                    self._hide_secrets()
                    logger.info("the embedded server was ready after %.1f s", time.monotonic() - started)
                    return
                time.sleep(_POLL_S)
        finally:
            probe.close()
        raise ServerError(f"the embedded server did not start{self._log_tail()}")

    def _log_tail(self) -> str:
        """Return what the log says for a message, causes first."""
        lines = "\n  ".join(start_log.causes(self.log_path.read_text(errors="replace")))
        if self._run is not None:
            # The link is gone when a user looks for what is named.
            lines = lines.replace(str(self._run.repository), str(self.repository))
        return f"; its log is {self.log_path}:\n  {lines}"


def _new_log() -> Path:
    """Return the path of a new log and remove the oldest ones."""
    folder = logs_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        descriptor, name = tempfile.mkstemp(prefix=f"server-{stamp}-", suffix=".log", dir=folder)
    except OSError as exc:
        raise ServerError(f"no log can be written in {folder}: {exc.strerror}; set XDG_STATE_HOME") from exc
    os.close(descriptor)
    for old in sorted(folder.glob("server-*.log"))[:-_KEPT_LOGS]:
        old.unlink(missing_ok=True)
    return Path(name)


def _with_ports(asked: Listening) -> Listening:
    """Return where a server listens with a free port in place of each 0.

    Raises:
        InvalidInputError: A port that was named is taken, or the host is none of this machine.
    """
    http, metrics = asked.http_port, asked.metrics_port
    ports = [free_port(asked.host, asked.grpc_port)]
    ports += [free_port(LOOPBACK, port) for port in (http, metrics) if port is not None]
    if len(set(ports)) != len(ports):
        raise InvalidInputError(f"gRPC, HTTP and metrics have ports {ports}, expected different ones")
    found = iter(ports)
    return replace(
        asked,
        grpc_port=next(found),
        http_port=None if http is None else next(found),
        metrics_port=None if metrics is None else next(found),
    )
