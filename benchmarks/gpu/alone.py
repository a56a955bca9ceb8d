"""Parts in a process of their own: one that crashes, hangs or leaves the GPU in error stops no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from fsengine.terminal.messages import say
from outcome import Outcome, Status, not_run
from settings import Settings

SILENCE_S = 2 * 3600.0
"""The longest wait for the next part of a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parts that are measured in one process.

    Attributes:
        parts: Their names, in order.
        run: Yields an outcome for each that is not skipped; an error that it raises is that of all that are left.
        by_server: Whether a server measures them, which may have its GPU elsewhere.
    """

    parts: tuple[str, ...]
    run: Callable[[Settings], Iterator[Outcome]]
    by_server: bool = False


def run_alone(group: Group, settings: Settings) -> Iterator[Outcome]:
    """Measure a group in a process of its own, and yield an outcome for each of its parts."""
    left = []
    for part in group.parts:
        if settings.skips(part):
            yield Outcome(name=part, status=Status.SKIPPED, reason="--skip")
        elif settings.gpu is not None and settings.no_gpu and not (group.by_server and settings.server):
            yield Outcome(name=part, status=Status.MISSING, reason=settings.no_gpu)
        else:
            left.append(part)
    if not left:
        return
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(group.run, settings, sending))
    process.start()
    sending.close()
    ending: Outcome | None = None
    try:
        while receiving.poll(SILENCE_S):
            outcome = receiving.recv()
            if outcome.name in left:
                left.remove(outcome.name)
                yield outcome
            else:
                ending = outcome
        process.kill()
        reason = f"it gave no result for {SILENCE_S / 3600:g} hours and was ended"
    except EOFError:
        process.join()
        reason = f"its process {_ending(process.exitcode)}"
        if process.exitcode and not left:
            say(f"after {group.parts[-1]}, {reason}")
    ending = ending or Outcome(name="", status=Status.FAILED, reason=reason)
    yield from (replace(ending, name=part) for part in left)


def _measure(run: Callable[[Settings], Iterator[Outcome]], settings: Settings, sending: Connection) -> None:
    """Send each outcome, and the error that ended the group under no name."""
    # Libraries print, and stdout is the report's.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        for outcome in run(settings):
            sending.send(outcome)
    except Exception as exc:  # noqa: BLE001 - the report says it, and the other parts are measured
        sending.send(not_run("", exc))


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"died of {signal.Signals(-exit_code).name}"
    return f"ended with code {exit_code}"
