"""Start, watch and stop the embedded server."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from fsengine.errors import ServerError
from fsengine.server import binary, shared_memory
from fsengine.server.interpreter import check_machine, default_library_folder
from fsengine.server.supervisor import DRAIN, PID_FILE
from fsengine.server.threads import THREADS_VARIABLE, plan_threads

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0

_POLL_S = 0.05
_PORT_ATTEMPTS = 3
_KEPT_LOGS = 20
_SHOWN_LOG_LINES = 12


def logs_folder() -> Path:
    """Return the folder of server logs, below the XDG state folder."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "facestats" / "logs"


class EmbeddedServer:
    """A Triton server on loopback that lives as long as a `with` block, or as this process.

    Attributes:
        repository: The assembled repository that it serves.
        url: `host:port` of its gRPC endpoint, once started.
        log_path: File that holds what it writes.
        photos_in_flight: The most photos that shared memory has room for.
    """

    def __init__(self, repository: Path) -> None:
        """Prepare a server for an assembled repository; `start` or a `with` block starts it."""
        self.repository = repository.absolute()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._run_folder = Path()
        self._shm_prefix = ""
        self.url = ""
        self.log_path = Path()
        self.photos_in_flight = 0

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
        """
        check_machine()
        library_folder = default_library_folder()
        shared_memory.remove_dead_regions()
        self.photos_in_flight = shared_memory.photos_in_flight(shared_memory.free_shared_memory())
        self.log_path = _new_log()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = _free_port()
            started = time.time()
            self._spawn(port, library_folder)
            try:
                self._wait_ready(port)
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
            self.url = f"127.0.0.1:{port}"
            return

    def alive(self) -> bool:
        """Return whether the server still runs."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def wait(self) -> None:
        """Wait until the server dies by itself.

        Raises:
            ServerError: It did.
        """
        assert self._supervisor is not None
        self._supervisor.wait()
        raise ServerError(f"the embedded server died{self._log_tail()}")

    def stop(self, *, drain: bool = False) -> None:
        """Stop the server and everything that it started; does nothing when it is stopped already.

        Args:
            drain: Whether requests in flight are answered first, which takes two seconds or more.
        """
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        assert supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            if drain:
                supervisor.stdin.write(DRAIN)
            supervisor.stdin.close()
        try:
            supervisor.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        if self._run_folder.exists():
            self._clear_away()

    def _clear_away(self) -> None:
        """Do what the supervisor, killed itself, could not."""
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.killpg(int((self._run_folder / PID_FILE).read_text()), signal.SIGKILL)
        shared_memory.remove_regions(self._shm_prefix)
        shutil.rmtree(self._run_folder, ignore_errors=True)

    def _spawn(self, port: int, library_folder: Path) -> None:
        """Start the supervisor, which starts the server."""
        self._shm_prefix = prefix = shared_memory.region_prefix(os.getpid())
        self._run_folder = run_folder = Path(tempfile.mkdtemp(prefix="facestats-"))
        try:
            backends = run_folder / "backends"
            binary.make_backend_folder(backends)
            command = binary.server_command(self.repository, backends, port, prefix, shared_memory.REGION_BYTES)
            self._supervisor = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "fsengine.server.supervisor",
                    str(run_folder),
                    prefix,
                    str(self.log_path),
                    *command,
                ],
                stdin=subprocess.PIPE,
                env=_environment(library_folder, plan_threads()),
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(run_folder, ignore_errors=True)
            raise

    def _wait_ready(self, port: int) -> None:
        """Wait until the server says that every model is ready."""
        from tritonclient.grpc import InferenceServerClient
        from tritonclient.utils import InferenceServerException

        assert self._supervisor is not None
        started = time.monotonic()
        client: InferenceServerClient | None = None
        try:
            while self._supervisor.poll() is None:
                if time.monotonic() - started > START_TIMEOUT_S:
                    raise ServerError(f"the embedded server was not ready in {START_TIMEOUT_S:.0f} s{self._log_tail()}")
                # A gRPC channel that once failed waits a second before it tries again; a socket does not.
                if client is None and _listens(port):
                    client = InferenceServerClient(f"127.0.0.1:{port}")
                if client is not None:
                    try:
                        if client.is_server_ready(client_timeout=5.0):
                            logger.info("the embedded server was ready after %.1f s", time.monotonic() - started)
                            return
                    except InferenceServerException:
                        logger.debug("not ready yet", exc_info=True)
                time.sleep(_POLL_S)
        finally:
            if client is not None:
                client.close()
        raise ServerError(f"the embedded server did not start{self._log_tail()}")

    def _log_tail(self) -> str:
        """Return the end of the log for a message, errors first."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        telling = [line for line in lines if line.startswith("E") or "Error" in line] or lines
        tail = "\n  ".join(telling[-_SHOWN_LOG_LINES:])
        return f"; its log is {self.log_path}:\n  {tail}"


def _environment(library_folder: Path, step_threads: int) -> dict[str, str]:
    """Return the environment of the server, whose stubs embed this interpreter.

    They find the interpreter through PATH and their libraries through LD_LIBRARY_PATH; PYTHONPATH is ignored.
    """
    libraries = binary.triton_folder().parents[1] / "nvidia_pytriton.libs"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    inherited = os.environ.get("LD_LIBRARY_PATH")
    folders = [str(library_folder), str(libraries), *([inherited] if inherited else [])]
    environment["LD_LIBRARY_PATH"] = ":".join(folders)
    environment[THREADS_VARIABLE] = str(step_threads)
    environment["OMP_NUM_THREADS"] = str(step_threads)
    environment["OPENBLAS_NUM_THREADS"] = "1"
    return environment


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


def _free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    """Return whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
