"""What a scenario of faults breaks, one thing or several at a time, and how each is mended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fault_places import fill
from fault_scenarios import Breaks, Planned, Readers, Scenario
from fault_surroundings import Surroundings
from store_faults import (
    Cut,
    Delay,
    InsufficientStorage,
    LostAnswer,
    Refuse,
    Rule,
    Throttle,
    always,
    no_faults,
    only,
    sometimes,
)
from watched_processes import Family, Process

WORKERS = {Readers.TWO: r"ingest_worker", Readers.RAY: r"^ray::MapWorker"}


@dataclass(slots=True)
class _Broken:
    """What is broken now, and how it is mended."""

    until: float
    mend: Callable[[], object]


class BrokenThings:
    """What is broken in a scenario's surroundings."""

    def __init__(self, scenario: Scenario, around: Surroundings, tmpfs: Path | None) -> None:
        """Prepare; nothing is broken yet.

        Args:
            scenario: Whose faults they are.
            around: What is broken.
            tmpfs: The disk that is filled; None where there is none that may be.
        """
        self._scenario = scenario
        self._around = around
        self._tmpfs = tmpfs
        self._broken: list[_Broken] = []

    def is_any(self) -> bool:
        """Return whether anything is broken."""
        return bool(self._broken)

    def break_by(self, fault: Planned, client: int) -> bool:
        """Break something; return whether that was there.

        Args:
            fault: What to break.
            client: The process of the client.
        """
        until = time.monotonic() + fault.lasts_s
        mend = self._broken_by(fault, Process.of(client))
        if mend is not None:
            self._broken.append(_Broken(until, mend))
        return mend is not None

    def _broken_by(self, fault: Planned, client: Process | None) -> Callable[[], object] | None:
        """Break something, and return what mends it; None where it is not there (yet)."""
        around, server = self._around, self._around.server
        steps = server.steps()
        step = [steps[fault.number % len(steps)]] if steps else []
        first = [] if client is None else [client]
        match fault.breaks:
            case Breaks.CLIENT_KILLED:
                return self._hit(first, signal.SIGKILL)
            case Breaks.CLIENT_INTERRUPTED:
                return self._hit(first, signal.SIGINT)
            case Breaks.CLIENT_HUNG:
                return self._hit(first, signal.SIGSTOP)
            case Breaks.WORKER_KILLED:
                return self._hit(self._workers(fault.number, first), signal.SIGKILL)
            case Breaks.WORKER_HUNG:
                return self._hit(self._workers(fault.number, first), signal.SIGSTOP)
            case Breaks.SERVER_KILLED:
                server.kill()
                return server.start
            case Breaks.TRITON_KILLED:
                return None if self._hit(server.triton(), signal.SIGKILL) is None else server.start
            case Breaks.SERVER_HUNG:
                return self._hit(server.first(), signal.SIGSTOP)
            case Breaks.TRITON_HUNG:
                return self._hit(server.triton(), signal.SIGSTOP)
            case Breaks.STEP_HUNG:
                return self._hit(step, signal.SIGSTOP)
            case Breaks.STEP_KILLED:
                # Triton 2.51 starts no step again: whoever runs it does, as where all of it died.
                return None if self._hit(step, signal.SIGKILL) is None else server.start
            case Breaks.SERVER_CUT:
                around.to_server.off()
                return around.to_server.on
            case Breaks.STORE_KILLED:
                around.to_store.off()
                return around.to_store.on
            case Breaks.STORE_HUNG:
                paused = around.store.paused()
                paused.__enter__()
                return partial(paused.__exit__, None, None, None)
            case Breaks.STORE_THROTTLED:
                return self._rule(always(Throttle()))
            case Breaks.STORE_BREAKS_OFF:
                faults = (Cut(300), Refuse(), Delay(0.1), LostAnswer())
                return self._rule(sometimes(0.5, *faults, seed=self._scenario.seed))
            case Breaks.STORE_FULL:
                return self._rule(only(always(InsufficientStorage()), methods=("PUT", "POST")))
            case Breaks.DISK_FULL:
                if self._tmpfs is None:
                    return lambda: None
                fill(self._tmpfs / "filler")
                return (self._tmpfs / "filler").unlink

    def _rule(self, rule: Rule) -> Callable[[], object]:
        self._around.proxy.rule = rule

        def mend() -> None:
            if self._around.proxy.rule is rule:
                self._around.proxy.rule = no_faults

        return mend

    def _hit(self, processes: list[Process], number: signal.Signals) -> Callable[[], object] | None:
        """Send a signal to processes and return what lets those go on that hang; None where there is none."""
        for process in processes:
            process.hit(number)
        return partial(self._let_go_on, processes) if processes else None

    def _let_go_on(self, processes: list[Process]) -> None:
        for process in processes:
            process.hit(signal.SIGCONT)

    def _workers(self, number: int, client: list[Process]) -> list[Process]:
        running = Family(roots=client)
        found = running.living(WORKERS[self._scenario.readers])
        return [found[number % len(found)]] if found else []

    def mend(self, now: float) -> None:
        """Mend what was broken for as long as it was to be."""
        over = [one for one in self._broken if now >= one.until]
        self._broken = [one for one in self._broken if now < one.until]
        for one in over:
            one.mend()
