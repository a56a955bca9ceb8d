"""Processes that a test started, with all below them: found, hit by signals, and none left unseen."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

_ZOMBIE = "Z"


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from a later one of the same number by when it began.

    Attributes:
        pid: Its number.
        began: In ticks since the machine did.
    """

    pid: int
    began: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process of a number; None where there is none, or only one that nobody has waited for."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == _ZOMBIE else cls(pid, int(fields[19]))

    @property
    def is_there(self) -> bool:
        return Process.of(self.pid) == self

    @property
    def command(self) -> str:
        """Return its command line; empty where it is gone."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""

    @property
    def resident_bytes(self) -> int:
        """Return what it holds in memory, less what lies in shared memory; 0 where it is gone."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        return 1024 * sum(map(int, re.findall(r"^Rss(?:Anon|File):\s+(\d+) kB", status, re.MULTILINE)))

    def hit(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens where it is gone."""
        with contextlib.suppress(ProcessLookupError):
            if self.is_there:
                os.kill(self.pid, number)

    def children(self) -> list[Process]:
        with contextlib.suppress(OSError):
            listed = [task.read_text().split() for task in Path(f"/proc/{self.pid}/task").glob("*/children")]
            return [child for pids in listed for pid in pids if (child := Process.of(int(pid))) is not None]
        return []


@dataclass
class Family:
    """What was started, and all that was ever seen below it."""

    roots: list[Process] = field(default_factory=list)
    seen: dict[Process, str] = field(default_factory=dict)

    def add(self, pid: int) -> None:
        if (process := Process.of(pid)) is not None:
            self.roots.append(process)
            self.look()

    def look(self) -> None:
        """Remember what is there now, with its command line as it is now."""
        waiting = [process for process in {*self.roots, *self.seen} if process.is_there]
        reached = set(waiting)
        while waiting:
            process = waiting.pop()
            self.seen[process] = process.command or self.seen.get(process, "")
            new = [child for child in process.children() if child not in reached]
            reached.update(new)
            waiting += new

    def living(self, pattern: str = "") -> list[Process]:
        """Return the processes that are there and whose command line matches, the oldest first."""
        self.look()
        found = [process for process in self.seen if process.is_there and re.search(pattern, self.seen[process])]
        return sorted(found, key=lambda process: (process.began, process.pid))

    def hit(self, number: signal.Signals) -> None:
        """Send all of them a signal."""
        for process in self.living():
            process.hit(number)
