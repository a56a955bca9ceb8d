"""A backend that counts as Triton does, and `bench` measuring it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fsclient.backend.statistics import ModelStatistics
from fsclient.bench.level import Level
from fsclient.bench.measure import Bench, BenchConfig
from fsclient.bench.workload import Workload, read_workload
from fsclient.testing import FakeBackend, answer

INSTANCES = {"decode": 1, "detect": 2}


def statistics(requests: int = 0, **changes: int) -> ModelStatistics:
    """Return counters in which each request waits 2 us, and two requests of 3 rows make an execution of 10 us."""
    executions = requests // 2
    values = {
        "requests": requests,
        "rows": 3 * requests,
        "executions": executions,
        "request_ns": 12_000 * requests,
        "queue_ns": 2_000 * requests,
        "compute_ns": 10_000 * requests,
        "busy_ns": 10_000 * executions,
    }
    return ModelStatistics(**{**values, **changes})


class CountingBackend(FakeBackend):
    """Counts what it answers as Triton does, and a refused photo at its first step alone."""

    restricted = False
    restarts = False
    forgotten = 0
    others = 0

    def __init__(self, respond: Callable[[bytes], int], *, alone: Callable[[bytes], int] | None = None) -> None:
        super().__init__(
            lambda data, outputs: self._answered(respond(data), outputs),
            respond_alone=alone and (lambda data, outputs: self._answered_alone(alone(data), outputs)),
        )
        self.answered = 0
        self.answered_alone = 0

    def _answered(self, num_faces: int, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.answered += 1
        return answer(num_faces, outputs)

    def _answered_alone(self, num_faces: int, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.answered_alone += 1
        return answer(num_faces, outputs)

    async def statistics(self) -> dict[str, ModelStatistics] | None:
        if self.restricted:
            return None
        if self.restarts:
            return dict.fromkeys(("facestats", *INSTANCES), statistics(0 if self.answered else 5))
        others = self.others - self.forgotten if self.answered else 0
        counted = {
            "facestats": statistics(self.answered + others),
            "decode": statistics(len(self.requests) + others),
            "detect": statistics(self.answered + self.answered_alone + others),
        }
        if self.isolates:
            counted |= dict.fromkeys(("facestats_isolated", "decode_isolated"), statistics(self.answered_alone))
        return counted

    async def instances(self) -> dict[str, int]:
        return {"decode": 1, "decode_isolated": 1, "detect": 2} if self.isolates else INSTANCES


def workload(folder: Path, photos: Iterable[bytes]) -> Workload:
    """Write photos and read them."""
    paths = []
    for number, content in enumerate(photos):
        path = folder / f"{number}.jpg"
        path.write_bytes(content)
        paths.append(bytes(path))
    return read_workload(paths, lambda: None)


def measure(backend: CountingBackend, photos: Workload, concurrency: int = 2, **settings: Any) -> Level:
    async def run() -> Level:
        bench = Bench(
            workload=photos,
            config=BenchConfig(concurrencies=(concurrency,), **{"rounds": 3, **settings}),
            backend=backend,
            served=await backend.served(),
            instances=await backend.instances(),
        )
        await bench.warm_up(lambda: None)
        return await bench.measure(concurrency, lambda: None)

    return asyncio.run(run())


def faces_or(*errors: Exception) -> Callable[[bytes], int]:
    """Return an answer that is the photo's last byte as a number of faces, or one of the errors where that is above."""

    def respond(data: bytes) -> int:
        number = data[-1]
        if number >= 100:
            raise errors[number - 100]
        return number

    return respond
