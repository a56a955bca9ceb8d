"""The gateway's log on stderr: a line for each request, and for what happens to the server behind."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any

from fsengine.terminal.messages import printable

FIELDS = "fields"
"""Attribute of a record that holds a request's fields."""

requests_log = logging.getLogger("fsgateway.requests")


def log_to_stderr(log_format: str) -> None:
    """Write the gateway's log, and the HTTP server's own, to stderr.

    An exception is named without its text or traceback: both may hold what a caller sent.

    Args:
        log_format: `json`, or `text` for people.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if log_format == "json" else _TextLines())
    for name in ("fsgateway", "uvicorn"):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.INFO if name == "fsgateway" else logging.WARNING)


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, FIELDS, {})
    if record.exc_info and record.exc_info[0] is not None:
        return {**fields, "error": record.exc_info[0].__name__}
    return fields


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps({**line, **_fields_of(record)})


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = " ".join(f"{name}={value}" for name, value in _fields_of(record).items())
        return printable(f"{time} {record.levelname} {record.getMessage()} {fields}".rstrip())
