"""How many threads each step of the embedded server gets."""

from __future__ import annotations

import os

THREADS_VARIABLE = "FACESTATS_STEP_THREADS"
"""Tells the backends how many threads one step may use."""


def plan_threads(num_cores: int | None = None) -> int:
    """Return the threads of one step for a number of cores, by default those that this process may use.

    Photos pass through the steps as on a belt, so several steps run at once, each in its own process. Two
    of them, detect and embed, do nearly all the work: each gets half of the cores, and the light steps fill
    the gaps. With all cores for each step the two would take turns at twice the cores.
    """
    cores = num_cores or len(os.sched_getaffinity(0))
    return max(1, cores // 2)


def step_threads() -> int:
    """Return the threads that this process, a backend of the embedded server, may use."""
    return int(os.environ.get(THREADS_VARIABLE) or plan_threads())
