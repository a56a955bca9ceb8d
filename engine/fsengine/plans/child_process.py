"""Programs that are started here, and how they end."""

from __future__ import annotations

import subprocess

BY_SIGNAL = 128
"""Added to a signal's number where a shell tells the status of what it ended."""


def wait_or_kill(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Wait until a process that was told to end has done so, and not for ever."""
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
