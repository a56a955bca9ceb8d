"""Why a server does not start, read in its log and among its processes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SHOWN_LINES = 6
_LONGEST_LINE = 400

_TRITON_LINE = re.compile(r"([A-Z])\d{4} [\d:.]+ \d+ [\w.]+:\d+\] ?(.*)")
_ERROR_LINE = re.compile(r"error: |.*libprotobuf ERROR")
_FATAL = re.compile(r"failed to load '.*' version|Poll failed for model directory|failed to poll model repository")
"""What Triton writes when a model cannot be served; it takes the others down then, which lasts seconds."""

_STUB_FAILED = "Failed to initialize Python stub"
_CONSEQUENCES = re.compile(r"ensemble '?\w+'? (depends on|contains models that are not available)")
_HARMLESS = re.compile(
    r"CudaDriverHelper has not been initialized|unable to create stream for|[Pp]inned system memory|"
    r"CUDA memory pool disabled"
)
"""What a server on a machine without a GPU writes at every start."""

_TABLE = ("+", "|")


def has_begun(log: str) -> bool:
    """Return whether a server's log holds a line of Triton's own, which it writes once its options are read."""
    return any(_TRITON_LINE.match(line) for line in log.splitlines())


def is_fatal(log: str) -> bool:
    """Return whether a server's log says that a model cannot be served."""
    return any(_FATAL.search(line) for line in log.splitlines() if line.startswith("E"))


def causes(log: str) -> list[str]:
    """Return the lines of a log that say why a server did not start, or what it wrote last, without Triton's marks.

    A model that cannot be served comes first. A stub that cannot be started at all leaves what the shell, the dynamic
    linker or Python wrote; Triton itself is silent about it.
    """
    fatal: list[str] = []
    errors: list[str] = []
    foreign: list[str] = []
    rest: list[str] = []
    for line in log.splitlines():
        match = _TRITON_LINE.match(line)
        text = _shortened(match[2] if match else line)
        if not text or line.startswith(_TABLE) or _HARMLESS.search(text):
            continue
        rest.append(text)
        if match is None:
            (errors if _ERROR_LINE.match(line) else foreign).append(text)
        elif match[1] == "E" and _FATAL.search(text):
            fatal.append(text)
        elif _STUB_FAILED in text or (match[1] in "EF" and not _CONSEQUENCES.search(text)):
            errors.append(text)
    if fatal:
        parse_errors = [text for text in errors if "libprotobuf ERROR" in text]
        return _first([*parse_errors, *fatal])
    return _first([*errors, *foreign]) or rest[-SHOWN_LINES:]


def _shortened(text: str) -> str:
    """Return a message without quotation marks and the traceback that follows it, at most 400 characters."""
    text = text.strip().removeprefix('"').removesuffix('"').partition("\\n\\nAt:")[0].strip()
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]} ..."


def _first(lines: Iterable[str]) -> list[str]:
    """Return the first few lines, each once."""
    return list(dict.fromkeys(lines))[:SHOWN_LINES]


def dead_children(pid: int, proc: Path = Path("/proc")) -> set[int]:
    """Return the children of a process that have ended and that it has not waited for.

    A stub of Triton's is one from its end until its model is unloaded; for one that ends before it ever spoke, Triton
    waits for minutes.
    """
    children: set[int] = set()
    for listed in (proc / str(pid) / "task").glob("*/children"):
        try:
            children.update(map(int, listed.read_text().split()))
        except OSError:  # a thread that has just ended
            continue
    return {child for child in children if _is_zombie(proc / str(child))}


def _is_zombie(process: Path) -> bool:
    try:
        # The state follows the command, which is in brackets and may hold anything; see proc(5).
        return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
