"""A server's log as records, one for each line, while it is being written."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

_LINE = re.compile(r"(?P<level>[A-Z])\d{4} [\d:.]+ \d+ (?P<source>[\w.]+:\d+)\] ?(?P<message>.*)")
_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}
_REQUEST_ID = re.compile(r"\[request id: (?!<id_unknown>)([^\]]+)\]")
_POLL_S = 0.2


def record(message: str, *, level: str = "info", **fields: str) -> str:
    """Return a line of JSON: time (UTC), level, message, and what else is known."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "level": level, "message": message, **fields}, ensure_ascii=False)


def record_of(line: str) -> str:
    """Return a line of Triton's log as a record, with the request's id where the line names one."""
    match = _LINE.match(line)
    if match is None:
        return record(line)
    fields = {"source": match["source"]}
    if found := _REQUEST_ID.search(match["message"]):
        fields["request_id"] = found[1]
    return record(match["message"].strip('"'), level=_LEVELS.get(match["level"], "info"), **fields)


class LogFollower:
    """Gives each line that is added to a log, from a thread of its own, until it is closed."""

    def __init__(self, path: Path, write: Callable[[str], None]) -> None:
        """Start after what the log holds now.

        Args:
            path: The log.
            write: Called with each new line as a record.
        """
        self._path = path
        self._write = write
        self._closed = threading.Event()
        self._position = path.stat().st_size
        self._thread = threading.Thread(target=self._follow, name="log-follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give what is left, and end."""
        self._closed.set()
        self._thread.join()

    def _follow(self) -> None:
        with open(self._path, errors="replace") as log:
            log.seek(self._position)
            held = ""
            while True:
                last = self._closed.wait(_POLL_S)
                *lines, held = (held + log.read()).split("\n")
                for line in filter(None, lines):
                    self._write(record_of(line))
                if last:
                    return
