"""Requests at a fixed rate, whether or not the server keeps up, and what became of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput, aio
from tritonclient.utils import InferenceServerException

OUTPUTS = ("face_count", "face_box", "face_embedding")
DEADLINE_S = 4.0
"""Of every request."""

ANSWERED = "answered"


@dataclass(slots=True)
class Outcome:
    """What became of requests.

    Attributes:
        counts: `answered`, or the first words of the error, to the number of requests.
        latencies_s: Of those answered.
        seconds: From the first request to the last answer, good or bad.
    """

    counts: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """Return the number of requests; each has an entry in `counts`."""
        return self.counts.total()

    @property
    def goodput(self) -> float:
        """Return the photos answered within their deadline a second."""
        return self.counts[ANSWERED] / self.seconds

    @property
    def median_s(self) -> float:
        """Return the median latency of those answered, or NaN."""
        return float(np.median(self.latencies_s)) if self.latencies_s else float("nan")


class Caller:
    """Asks a server for one photo, again and again."""

    def __init__(self, url: str, photo: bytes) -> None:
        self._client = aio.InferenceServerClient(url)
        self._inputs = [
            InferInput("encoded_image", [1, len(photo)], "UINT8"),
            InferInput("orientation", [1, 1], "UINT8"),
        ]
        self._inputs[0].set_data_from_numpy(np.frombuffer(photo, np.uint8)[None])
        self._inputs[1].set_data_from_numpy(np.array([[1]], np.uint8))
        self._outputs = [InferRequestedOutput(name) for name in OUTPUTS]

    async def ask(self, outcome: Outcome) -> None:
        """Make one request and note what became of it."""
        started = time.perf_counter()
        try:
            await self._client.infer("facestats", self._inputs, outputs=self._outputs, client_timeout=DEADLINE_S)
        except InferenceServerException as exc:
            outcome.counts[_short(exc)] += 1
        else:
            outcome.counts[ANSWERED] += 1
            outcome.latencies_s.append(time.perf_counter() - started)

    async def close(self) -> None:
        """Close the channel."""
        await self._client.close()


async def closed_loop(caller: Caller, num_clients: int, seconds: float) -> Outcome:
    """Have some clients ask one request after another."""
    outcome, started = Outcome(), time.perf_counter()

    async def client() -> None:
        while time.perf_counter() - started < seconds:
            await caller.ask(outcome)

    await asyncio.gather(*(client() for _ in range(num_clients)))
    outcome.seconds = time.perf_counter() - started
    return outcome


async def open_loop(caller: Caller, rate: float, seconds: float) -> Outcome:
    """Make requests at a rate, each at its time."""
    outcome, started = Outcome(), time.perf_counter()
    tasks: list[asyncio.Task[Any]] = []
    for number in range(max(1, round(rate * seconds))):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(caller.ask(outcome)))
    await asyncio.gather(*tasks)
    outcome.seconds = time.perf_counter() - started
    return outcome


def error_counts(outcomes: Sequence[Outcome]) -> Counter[str]:
    """Return the errors of several outcomes together."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total += outcome.counts
    del total[ANSWERED]
    return total


def _short(error: InferenceServerException) -> str:
    state = str(error.status() or "").removeprefix("StatusCode.")
    words = error.message().partition("] ")[2] or error.message()
    return f"{state}: {words[:60]}"
