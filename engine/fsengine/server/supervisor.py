"""The process between a client and its embedded server.

It starts the server in a session of its own, so that Ctrl-C in a terminal does not reach it before the client
is done. When the client closes its pipe, or dies of anything, the pipe ends, and this process stops the server
and all that it started, and removes its shared memory and its run folder. The server holds no state, and a
client closes its pipe when it has its answers, so the server is killed at once; a client that serves others
writes `DRAIN` first, and requests in flight are then answered.

Run as a module with RUN_FOLDER SHM_PREFIX LOG and the pipe on stdin; the command lies in the run folder, as it may hold
a token that nobody shall read in the list of processes. It keeps to the standard library, as it
is run isolated from whatever else the user's Python would import.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from fsengine.server.shared_memory import remove_regions

PID_FILE = "server.pid"
"""In the run folder: the server's process, which is its process group too."""

COMMAND_FILE = "command"
"""In the run folder: the server's command line, its words separated by NUL."""

DRAIN = b"drain"
DRAIN_TIMEOUT_S = 30.0
"""For requests in flight, before the server is told to stop."""

_EXIT_TIMEOUT_S = 8.0
"""Longer than the server itself waits for them then."""
_LOOK_S = 0.25
_QUIET_LOOKS = 2
_IDLE_SHARE = 0.1
"""Of one core; a server with nothing to do takes less than 0.02."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    """Run a server until its client is gone; return the server's exit code."""
    run_folder, shm_prefix, log_path = arguments
    command_file = Path(run_folder, COMMAND_FILE)
    command = command_file.read_text().split("\0")
    command_file.unlink()
    libc = ctypes.CDLL(None, use_errno=True)
    # Orphans of the server become children of this process, so that it can wait for them.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

    def in_server() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    with open(log_path, "ab") as log:
        # This process has one thread, so a function between fork and exec is safe, and the death signal,
        # which follows the thread that forked, follows the process.
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=in_server
        )
    Path(run_folder, PID_FILE).write_text(str(server.pid))
    try:
        if _wait_for_either(server):
            _drain(server)
    finally:
        _kill_group(server.pid)
        server.wait()
        _reap()
        remove_regions(shm_prefix)
        shutil.rmtree(run_folder, ignore_errors=True)
    return server.returncode


def _wait_for_either(server: subprocess.Popen[bytes]) -> bool:
    """Return when the client's pipe ends or the server exits, and return whether the client asked to drain it."""
    said = b""
    exit_descriptor = os.pidfd_open(server.pid)
    try:
        ready = [sys.stdin.fileno(), exit_descriptor]
        while True:
            readable, _, _ = select.select(ready, [], [])
            if exit_descriptor in readable:
                return False
            heard = os.read(sys.stdin.fileno(), 64)
            said += heard
            if not heard:
                return said == DRAIN
    finally:
        os.close(exit_descriptor)


def _drain(server: subprocess.Popen[bytes]) -> None:
    """Let the server answer what is in flight, for a while at most.

    Told to stop, Triton refuses the next step of every photo that is in flight, and counts them nowhere. So it is told
    when it has nothing to do.
    """
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    ticks_per_look = os.sysconf("SC_CLK_TCK") * _LOOK_S
    before, quiet = _cpu_ticks(server.pid), 0
    while quiet < _QUIET_LOOKS and server.poll() is None and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        now = _cpu_ticks(server.pid)
        quiet = quiet + 1 if now - before <= _IDLE_SHARE * ticks_per_look else 0
        before = now
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(_EXIT_TIMEOUT_S)


def _cpu_ticks(session: int) -> int:
    """Return the processor time of all processes of a session, in clock ticks; see proc(5), /proc/PID/stat."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int(fields[11]) + int(fields[12])
    return total


def _kill_group(group: int) -> None:
    """Kill what is left of the server's session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _reap() -> None:
    """Wait for the children that the server left, for a moment at most."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.01)


if __name__ == "__main__":
    assert Path(sys.argv[1]).is_dir()
    sys.exit(main(sys.argv[1:]))
