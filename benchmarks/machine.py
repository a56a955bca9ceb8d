"""What a benchmark ran on: processor, cores, versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def processor() -> str:
    """Return the processor's name as the kernel tells it, or the architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def num_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those distributions that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def print_machine(packages: Iterable[str]) -> None:
    """Print the processor, the cores, and the versions of those distributions that are installed."""
    print(f"machine: {processor()}, {num_cores()} cores")
    print("versions:", ", ".join(f"{name} {version}" for name, version in installed_versions(packages).items()))
