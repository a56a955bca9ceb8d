"""Memory over time, read in a thread while something runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path


class MemorySamples:
    """Readings of memory, taken while a `with` block runs.

    Attributes:
        readings: In order, one as the block begins and one as it ends among them.
    """

    def __init__(self, read: Callable[[], float], every_s: float) -> None:
        """Prepare.

        Args:
            read: Returns the memory in use.
            every_s: Time between readings.
        """
        self.readings: list[float] = []
        self._read = read
        self._every_s = every_s
        self._error: Exception | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemorySamples:
        self.readings.append(self._read())
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if kind is not None:
            return
        if self._error is not None:
            raise self._error
        self.readings.append(self._read())

    def _sample(self) -> None:
        while not self._done.wait(self._every_s):
            try:
                self.readings.append(self._read())
            except Exception as exc:  # noqa: BLE001 - whoever asks for the readings gets it
                self._error = exc
                return


def process_tree_bytes() -> int:
    """Return the memory of this process and all below it: proportional set size, so that shared pages count once."""
    return sum(map(_proportional_bytes, process_tree(os.getpid())))


def process_tree(root: int) -> list[int]:
    """Return a process and all below it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, queue = [], [root]
    while queue:
        process = queue.pop()
        found.append(process)
        queue += [child for child, parent in parents.items() if parent == process]
    return found


def _proportional_bytes(process: int) -> int:
    try:
        for line in (Path("/proc") / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
