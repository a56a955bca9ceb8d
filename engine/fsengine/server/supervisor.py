"""The process between a client and its embedded server.

It starts the server in a session of its own, so that Ctrl-C in a terminal does not reach it before the client
is done. When the client closes its pipe, or dies of anything, the pipe ends, and this process stops the server
and all that it started, and removes its shared memory and its run folder. The server holds no state, and a
client closes its pipe when it has its answers, so the server is killed at once; a client that serves others
writes `DRAIN` first, and requests in flight are then answered: Triton 2.51 itself, once told to stop, refuses the steps
that an ensemble's requests still have before them, so it is told when nothing is computed any more.

Run as a module with RUN_FOLDER SHM_PREFIX LOG and the pipe on stdin; the command lies in the run folder, as it may hold
a token that nobody shall read in the list of processes. It keeps to the standard library, as it is run isolated from
whatever else the user's Python would import.
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
QUIET_TIMEOUT_S = 30.0
"""How long requests in flight are waited for."""

EXIT_TIMEOUT_S = 8.0
"""Longer than the server, told to stop, waits for what it still does."""

_WINDOW_S = 0.5
_QUIET_WINDOWS = 2
_QUIET_SHARE = 0.06
"""Of one core; an idle server takes less than 0.04, one with a photo in flight all that it gets."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    """Run a server until its client is gone; return the server's exit code."""
    run_folder, shm_prefix, log_path = arguments
    command_file = Path(run_folder, COMMAND_FILE)
    command = os.fsdecode(command_file.read_bytes()).split("\0")
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
    """Let the server answer what is in flight, for a while at most."""
    deadline = time.monotonic() + QUIET_TIMEOUT_S
    quiet_windows, spent_s = 0, _session_cpu_s(server.pid)
    while quiet_windows < _QUIET_WINDOWS and time.monotonic() < deadline and server.poll() is None:
        time.sleep(_WINDOW_S)
        before_s, spent_s = spent_s, _session_cpu_s(server.pid)
        quiet_windows = quiet_windows + 1 if spent_s - before_s <= _QUIET_SHARE * _WINDOW_S else 0
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(EXIT_TIMEOUT_S)


def _session_cpu_s(session: int) -> float:
    """Return the seconds of CPU that the processes of a session have taken."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # Fields after the command, which is in brackets and may hold anything; see proc(5).
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
