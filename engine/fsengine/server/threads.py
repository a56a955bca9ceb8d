"""How many threads each step of the embedded server gets."""

from __future__ import annotations

import os

from fsengine.contracts.steps import ALIGN, DECODE, DECODE_ISOLATED, DETECT

THREADS_VARIABLE = "FACESTATS_STEP_THREADS"
"""Tells the backends how many threads one step may use."""


def plan_threads(num_cores: int | None = None) -> int:
    """Return the threads of one step for a number of cores, by default those that this process may use.

    A step may use every core while it computes. Its threads sleep otherwise (ONNX Runtime's spinning is off), so
    the processes of the steps share the cores as one pool, and the step that bounds the pipeline, embed or
    detect, is not held back while the others idle. Half of the cores for each made a run with CLIP 1.8 times as
    long on two cores (benchmarks/ingest).
    """
    return num_cores or len(os.sched_getaffinity(0))


def step_threads(instances: int = 1) -> int:
    """Return the threads that this process, a backend of the embedded server, may use.

    Args:
        instances: Processes that share the step's threads.
    """
    return -(-int(os.environ.get(THREADS_VARIABLE) or plan_threads()) // instances)


NICENESS = {DECODE: 19, DECODE_ISOLATED: 19, DETECT: 10, ALIGN: 5}
"""Added to that of the server's process; encoder and heads keep it.

Steps further on come first: under more load than the machine can take, steps of equal priority spend half of it on
photos that the encoder then has to refuse (docs/background/performance.md).
"""


def take_priority(step: str) -> None:
    """Give this process, which runs one step and has not started its threads yet, the priority of the step."""
    os.nice(NICENESS.get(step, 0))
