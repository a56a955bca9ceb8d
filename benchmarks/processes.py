"""CPU time of processes, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path

from memory_samples import process_tree

CONVERTER, SERVER, CLIENT = "converter", "server", "client"
"""Processes around the steps: those that convert photos which are not plain, Triton itself, and this one."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_seconds(process: int) -> float:
    """Return the core-seconds, user and system, that a process and its children that ended have taken; 0 if gone."""
    try:
        fields = (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS_PER_S


def tree_cpu_seconds() -> float:
    """Return the core-seconds of this process and all below it."""
    return sum(map(cpu_seconds, process_tree(os.getpid())))


def machine_cpu_seconds() -> float:
    """Return the core-seconds that all processes of the machine have taken, the kernel's among them."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def seconds_by_role(steps: list[str]) -> dict[str, float]:
    """Return the core-seconds of this process's tree: of each step, of converters, of the server, and of the client.

    Args:
        steps: Names of the models that the embedded server runs, each in a process of its own.
    """
    found = dict.fromkeys([*steps, CONVERTER, SERVER, CLIENT], 0.0)
    for process in process_tree(os.getpid()):
        found[_role(process, steps)] += cpu_seconds(process)
    return found


def _role(process: int, steps: list[str]) -> str:
    try:
        words = (Path("/proc") / str(process) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return CLIENT
    program = Path(words[0]).name
    if program == "triton_python_backend_stub":
        # Triton names an instance MODEL_GROUP_NUMBER.
        names = [word.rsplit("_", 2)[0] for word in words]
        return next((step for step in steps if step in names), SERVER)
    if any("convert_worker" in word for word in words):
        return CONVERTER
    return SERVER if program == "tritonserver" else CLIENT
