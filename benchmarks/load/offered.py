"""Requests at a fixed rate, whether or not the server keeps up, and what became of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

OUTPUTS = ("face_count", "face_box", "face_embedding")
DEADLINE_S = 4.0
"""Of every request."""

ANSWERED = "answered"
FILLED_S = DEADLINE_S
"""After this long the queues are full."""


@dataclass(slots=True)
class Outcome:
    """What became of requests.

    Attributes:
        counts: `answered`, or the first words of the error, to the number of requests.
        latencies_s: Of those answered.
        answered_at_s: When each of them was, since the first request.
        seconds: How long requests were made.
    """

    counts: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    answered_at_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """Return the number of requests; each has an entry in `counts`."""
        return self.counts.total()

    @property
    def goodput(self) -> float:
        """Return the photos answered a second while requests came and queues were full."""
        steady = [at for at in self.answered_at_s if FILLED_S <= at <= self.seconds]
        return len(steady) / (self.seconds - FILLED_S)

    @property
    def median_s(self) -> float:
        """Return the median latency of those answered, or NaN."""
        return float(np.median(self.latencies_s)) if self.latencies_s else float("nan")


class Caller:
    """Asks a server for one photo, again and again; its message is made once, to leave the machine to the server."""

    def __init__(self, url: str, photo: bytes) -> None:
        request = service_pb2.ModelInferRequest(model_name="facestats")
        for name, content in (("encoded_image", photo), ("orientation", b"\x01")):
            request.inputs.add(name=name, datatype="UINT8", shape=[1, len(content)])
            request.raw_input_contents.append(content)
        for name in OUTPUTS:
            request.outputs.add(name=name)
        self._message = request.SerializeToString()
        self._channel = grpc.aio.insecure_channel(url)
        self._infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    async def ask(self, outcome: Outcome, begun: float) -> None:
        """Make one request and note what became of it.

        Args:
            outcome: Where it is noted.
            begun: When the first request was made, on `time.perf_counter`.
        """
        started = time.perf_counter()
        try:
            await self._infer(self._message, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as exc:
            outcome.counts[_short(exc)] += 1
        else:
            outcome.counts[ANSWERED] += 1
            outcome.latencies_s.append(time.perf_counter() - started)
            outcome.answered_at_s.append(time.perf_counter() - begun)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


async def closed_loop(caller: Caller, num_clients: int, seconds: float) -> Outcome:
    """Have some clients ask one request after another."""
    outcome, started = Outcome(), time.perf_counter()

    async def client() -> None:
        while time.perf_counter() - started < seconds:
            await caller.ask(outcome, started)

    await asyncio.gather(*(client() for _ in range(num_clients)))
    outcome.seconds = time.perf_counter() - started
    return outcome


async def open_loop(caller: Caller, rate: float, seconds: float) -> Outcome:
    """Make requests at a rate, each at its time."""
    outcome, started = Outcome(), time.perf_counter()
    tasks: list[asyncio.Task[Any]] = []
    for number in range(max(1, round(rate * seconds))):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(caller.ask(outcome, started)))
    outcome.seconds = time.perf_counter() - started
    await asyncio.gather(*tasks)
    return outcome


def error_counts(outcomes: Sequence[Outcome]) -> Counter[str]:
    """Return the errors of several outcomes together."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total += outcome.counts
    del total[ANSWERED]
    return total


def _short(error: grpc.aio.AioRpcError) -> str:
    details = error.details() or ""
    return f"{error.code().name}: {(details.partition('] ')[2] or details)[:60]}"
