"""`fsclient ingest --runner ray` as a command, with servers that run already: what it takes, and how fast it is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cores_left import cores_left

from fsclient.backend.triton import TritonBackend
from fsengine.contracts.steps import ENSEMBLE
from memory_samples import process_tree
from processes import cpu_seconds, machine_cpu_seconds

LEAST_PHOTOS = 40
"""Fewer say nothing of how fast workers are once all run."""

_FROM, _TO = 0.1, 0.9
"""Shares of the photos that are answered where looking begins and ends: without starting, and without the last ones."""

_FSCLIENT = [sys.executable, "-c", "from fsclient.cli import main; main()"]
_LOOKED_AT_S = 0.25
_TIMEOUT_S = 600.0


class RayFailedError(Exception):
    """A run with Ray did not end as it shall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayRun:
    """What photos took while all workers ran.

    Attributes:
        num_photos: How many.
        seconds: Their time.
        core_s: Core-seconds of the command, Ray and its workers, without the servers.
        servers_s: Core-seconds of the servers.
        cores_left: What other programs left of the machine.
    """

    num_photos: int
    seconds: float
    core_s: float
    servers_s: float
    cores_left: float

    @property
    def photos_per_s(self) -> float:
        """Return the throughput."""
        return self.num_photos / self.seconds


def why_missing() -> str | None:
    """Return why there is no Ray to measure here; None where there is one."""
    try:
        import ray  # noqa: F401
    except ImportError:
        return "missing: pip install 'facestats[ray]'"
    done = subprocess.run([*_FSCLIENT, "ingest", "--help"], capture_output=True, text=True, timeout=60, check=False)
    return None if "--runner" in done.stdout else "missing: fsclient ingest has no --runner"


def run_ray(photos: Sequence[str], servers: Sequence[str], *, workers: int, concurrency: int) -> RayRun:
    """Ingest photos with a cluster of this machine alone.

    Args:
        photos: Files, `LEAST_PHOTOS` or more.
        servers: `host:port` of each server, children of this process.
        workers: Workers that ask.
        concurrency: Photos in flight of each worker.

    Raises:
        RayFailedError: The command failed, or was too fast to be looked at.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "out", Path(folder) / "log"
        command = [*_FSCLIENT, "ingest", *photos, "--out", str(out), "--server", ",".join(servers)]
        command += ["--runner", "ray", "--processes", str(workers), "--concurrency", str(concurrency)]
        with log.open("w") as told, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told) as running:
            looks = asyncio.run(_watched(running, servers))
        if running.returncode:
            text = log.read_text().strip()
            raise RayFailedError(f"the ingest with Ray failed ({running.returncode}): {text}")
    num_before = looks[0].num_answered
    within = [look for look in looks if _FROM <= (look.num_answered - num_before) / len(photos) <= _TO]
    if len(within) < 2 or within[-1].num_answered == within[0].num_answered:
        raise RayFailedError(f"{len(photos)} photos were answered before they could be looked at")
    first, last = within[0], within[-1]
    seconds = last.at_s - first.at_s
    core_s, servers_s = last.core_s - first.core_s, last.servers_s - first.servers_s
    others_s = last.machine_s - first.machine_s - servers_s - core_s
    return RayRun(
        num_photos=last.num_answered - first.num_answered,
        seconds=seconds,
        core_s=core_s,
        servers_s=servers_s,
        cores_left=cores_left(others_s / seconds),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How far a run was at a time: core-seconds, and photos that servers answered since they started."""

    at_s: float
    num_answered: int
    core_s: float
    servers_s: float
    machine_s: float


async def _watched(running: subprocess.Popen[bytes], servers: Sequence[str]) -> list[_Look]:
    """Look at a command until it ends.

    Ray's processes end without their parents waiting for them, so that nobody is left to say what they took: what each
    took last is kept.
    """
    backends = [TritonBackend(server) for server in servers]
    by_process: dict[int, float] = {}
    looks = []
    ends_at = time.monotonic() + _TIMEOUT_S
    try:
        while running.poll() is None:
            if time.monotonic() > ends_at:
                running.kill()
            counted = [await backend.statistics() or {} for backend in backends]
            of_command = process_tree(running.pid)
            by_process |= {process: max(_cpu_alone(process), by_process.get(process, 0.0)) for process in of_command}
            of_servers = set(process_tree(os.getpid())) - {os.getpid(), *of_command}
            looks.append(
                _Look(
                    at_s=time.perf_counter(),
                    num_answered=sum(models[ENSEMBLE].requests for models in counted if ENSEMBLE in models),
                    core_s=sum(by_process.values()),
                    servers_s=sum(map(cpu_seconds, of_servers)),
                    machine_s=machine_cpu_seconds(),
                )
            )
            await asyncio.sleep(_LOOKED_AT_S)
    finally:
        for backend in backends:
            await backend.close()
    return looks


def _cpu_alone(process: int) -> float:
    """Return the core-seconds of a process without its children; 0 if gone."""
    try:
        fields = (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
