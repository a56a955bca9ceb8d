"""A terminal that a program can be given, and what it shows there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class Shown:
    """What a program wrote to a terminal so far, as text with its codes."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._pieces: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def text(self) -> str:
        with self._news:
            return "".join(self._pieces)

    def wait_for(self, pattern: str, timeout_s: float) -> bool:
        """Wait until a pattern is shown; return whether it was before the program ended and in time."""
        with self._news:
            self._news.wait_for(lambda: self._ended or re.search(pattern, "".join(self._pieces)), timeout_s)
            return bool(re.search(pattern, "".join(self._pieces)))

    def join(self) -> None:
        """Wait until the program's end of the terminal is closed."""
        self._reader.join()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._leader, 1 << 16)
            except OSError:  # Linux says so that the other end was closed
                data = b""
            with self._news:
                self._pieces.append(data.decode(errors="replace"))
                self._ended = not data
                self._news.notify_all()
            if not data:
                return


@contextmanager
def on_terminal(
    command: Sequence[str], *, stdout: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], Shown]]:
    """Run a program with stderr on a terminal of 100 columns; it is killed at the end of the block.

    Args:
        command: The program and its arguments.
        stdout: Whether stdout is the terminal too, and not a pipe.
        environment: Variables in addition to those of this process; colours are as by default.
    """
    leader, follower = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        command,
        stdout=follower if stdout else subprocess.PIPE,
        stderr=follower,
        text=True,
        env={**inherited, "TERM": "xterm", "COLUMNS": "100", **(environment or {})},
    )
    os.close(follower)
    shown = Shown(leader)
    try:
        yield process, shown
    finally:
        process.kill()
        process.wait()
        shown.join()
        os.close(leader)
        if process.stdout is not None:
            process.stdout.close()


def without_codes(text: str) -> str:
    """Return text without the codes that move the cursor and colour."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
