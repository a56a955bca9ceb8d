"""Measure a server with photos, a given number of them in flight."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_retries import RetryPolicy, ask_again
from fsclient.backend.statistics import Statistics
from fsclient.bench.bottleneck import Stage, bound_by, foreign_requests, since, stages_of
from fsclient.bench.level import Level, Traffic
from fsclient.bench.workload import DEADLINE, UNAVAILABLE, Failure, Workload
from fsclient.photos.photo_file import Photo
from fsclient.photos.room import Room
from fsclient.score.photo_request import goes_alone, score_once
from fsdata.results.schema import face_outputs
from fsdata.results.status import Status
from fsengine.contracts.served import ServedEnsemble
from fsengine.contracts.steps import DECODE_ISOLATED, ENSEMBLE, ENSEMBLE_ISOLATED
from fsengine.errors import DeadlineError, InferenceError, PhotoRejectedError, ServerUnavailableError

T = TypeVar("T")

MAX_CONCURRENCY = 1024
"""The most photos in flight: far more than keeps any server busy, and each holds its request and answer in memory."""

_READING_S = 0.1
_READINGS = 20

_RETRY = RetryPolicy(attempts=4, first_wait_s=0.2, longest_wait_s=1.5)
"""For what is asked beside the photos; gRPC's own first wait for a new connection is a second."""

Tick = Callable[[], object]
"""Called after each photo."""


class MeasuredBackend(InferenceBackend, Protocol):
    """A backend that also says what it counted."""

    async def statistics(self) -> Statistics | None:
        """Return the counters of every model, or None where the server does not give them."""

    async def instances(self) -> Mapping[str, int]:
        """Return the ensemble's steps in its order, each with the number of its model's instances.

        Where the server can decode a photo alone, as `served` last found, the step that does is among them.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """How to measure.

    Attributes:
        concurrencies: Photos in flight, a level for each; 1 to `MAX_CONCURRENCY`. On a CPU the embedded server
            refuses what goes far beyond 8.
        seconds: A level sends whole rounds of the photos until so much time has passed, one at least.
        rounds: Rounds of each level whatever time they take; None to go by the time.
        warm_up_photos: Sent before, at the highest level, and not counted.
    """

    concurrencies: tuple[int, ...] = (1, 2, 4, 8)
    seconds: float = 5.0
    rounds: int | None = None
    warm_up_photos: int = 32

    def __post_init__(self) -> None:
        if not self.concurrencies or min(self.concurrencies) < 1 or max(self.concurrencies) > MAX_CONCURRENCY:
            raise ValueError(
                f"concurrencies {self.concurrencies} must be numbers from 1 to {MAX_CONCURRENCY}, one or more"
            )
        if not 0 <= self.seconds < math.inf or self.warm_up_photos < 0 or (self.rounds is not None and self.rounds < 1):
            raise ValueError(f"{self} needs finite seconds >= 0, warm_up_photos >= 0 and rounds >= 1")


class Bench:
    """Measures one server with one workload, level by level."""

    def __init__(
        self,
        *,
        workload: Workload,
        config: BenchConfig,
        backend: MeasuredBackend,
        served: ServedEnsemble,
        instances: Mapping[str, int],
    ) -> None:
        """Prepare.

        Args:
            workload: The photos.
            config: How to measure.
            backend: The server.
            served: What it serves, which must not change.
            instances: What it says of its steps.
        """
        self._photos = workload.photos
        self._refused_unsent = workload.refused
        self._config = config
        self._backend = backend
        self._model_set_id = served.models.model_set_id
        self._outputs = face_outputs(served)
        self._instances = instances
        self._room = Room()

    async def warm_up(self, tick: Tick) -> None:
        """Send photos that are not counted, as many in flight as there will be at most.

        Raises:
            InferenceError: See `measure`.
        """
        cycle = (self._photos[i % len(self._photos)] for i in range(self._config.warm_up_photos))
        await self._send(cycle, max(self._config.concurrencies), tick)

    async def measure(self, concurrency: int, tick: Tick) -> Level:
        """Send the photos in whole rounds and return what was measured.

        Args:
            concurrency: Photos in flight.
            tick: Called after each request.

        Raises:
            ServerUnavailableError: The server was lost.
            DeadlineError: It does not answer what it serves.
            InferenceError: It serves another model set than at first.
        """
        before = await self._steady_statistics(lambda _: True)
        started, began = time.perf_counter(), time.process_time()
        traffic = await self._send(self._rounds(started), concurrency, tick)
        seconds = time.perf_counter() - started
        client_busy_share = (time.process_time() - began) / seconds
        await self._check_model_set()
        after = await self._steady_statistics(lambda now: before is None or self._counts_all(before, now, traffic))
        stages, bound, notes = self._stages_and_bound(before, after, traffic, seconds, client_busy_share)
        if traffic.requests < concurrency:
            notes.append(f"only {traffic.requests} requests were made, too few to have {concurrency} in flight")
        return Level(
            concurrency=concurrency,
            rounds=traffic.requests // len(self._photos),
            seconds=seconds,
            traffic=traffic,
            failures={**self._refused_unsent, **traffic.failures},
            stages=stages,
            bound_by=bound,
            client_busy_share=client_busy_share,
            notes=tuple(notes),
        )

    def _stages_and_bound(
        self,
        before: Statistics | None,
        after: Statistics | None,
        traffic: Traffic,
        seconds: float,
        client_busy_share: float,
    ) -> tuple[list[Stage], str | None, list[str]]:
        """Return the stages, what bounds the speed, and notes."""
        if before is None or after is None:
            return [], None, ["the server does not give its statistics (they may be restricted): no stages"]
        counted = since(before, after)
        if counted is None or not self._counts_all(before, after, traffic):
            return [], None, ["the server began to count anew, it was restarted: no stages"]
        stages = stages_of(counted, self._instances, seconds)
        notes = []
        if foreign := foreign_requests(counted, self._instances, sent=traffic.requests, refused=traffic.refused):
            notes.append(f"others used the server too, {foreign} requests or more: its stages count them as well")
        if not traffic.answered:
            return stages, None, [*notes, "no photo was answered: nothing is said of what bounds the speed"]
        # The latency of a photo that was decoded alone holds both of its requests; a refused one is not in these.
        ensembles = [counted[name] for name in (ENSEMBLE, ENSEMBLE_ISOLATED) if name in counted]
        inside_ms = sum(ensemble.request_ns for ensemble in ensembles) / 1e6
        return stages, bound_by(stages, inside_ms / sum(traffic.latencies_ms), client_busy_share), notes

    def _rounds(self, started: float) -> Iterator[Photo]:
        """Yield every photo as often as every other, so that all levels have the same mix of photos."""
        done = 0
        while self._another_round(done, time.perf_counter() - started):
            yield from self._photos
            done += 1

    def _another_round(self, rounds: int, seconds: float) -> bool:
        if self._config.rounds is not None:
            return rounds < self._config.rounds
        return rounds == 0 or seconds < self._config.seconds

    async def _send(self, photos: Iterator[Photo], concurrency: int, tick: Tick) -> Traffic:
        """Send photos, so many in flight at any moment; what fails is not tried again."""
        traffic = Traffic()

        async def work(first: Photo) -> None:
            for photo in itertools.chain([first], photos):
                await self._send_one(photo, traffic)
                tick()

        workers = [asyncio.create_task(work(photo)) for photo in itertools.islice(photos, concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return traffic

    async def _send_one(self, photo: Photo, traffic: Traffic) -> None:
        traffic.requests += 1
        try:
            row = await score_once(photo, self._backend, self._outputs, self._room)
        except DeadlineError as exc:
            traffic.unanswered += 1
            failure = Failure(reason=DEADLINE, message=str(exc))
        except ServerUnavailableError as exc:
            # A server that is lost fails this too; one that merely had no room does not.
            await self._check_model_set()
            traffic.unanswered += 1
            failure = Failure(reason=UNAVAILABLE, message=str(exc))
        else:
            answered = row.status in (Status.OK, Status.NO_FACE)
            alone = row.attempts > 1 or goes_alone(photo, self._backend)
            traffic.refused += alone or not answered
            if answered:
                assert row.infer_ms is not None
                traffic.latencies_ms.append(row.infer_ms)
                traffic.num_faces += row.num_faces
                return
            failure = Failure(reason=row.status.value, message=row.reason or "")
        traffic.failures.setdefault(photo.file.source, failure)

    async def _check_model_set(self) -> None:
        served = await _answer(self._backend.served)
        if served.models.model_set_id != self._model_set_id:
            raise InferenceError(
                f"the server now serves model set {served.models.model_set_id}, this run began with "
                f"{self._model_set_id}; one run measures one set: run again"
            )

    async def _steady_statistics(self, enough: Callable[[Statistics], bool]) -> Statistics | None:
        """Return the server's counters when they are enough and stand still.

        A server counts a request a moment after its answer. Where others use it they never stand still: the last
        reading is taken then.
        """
        earlier = None
        for _ in range(_READINGS):
            now = await _answer(self._backend.statistics)
            if now is None or (now == earlier and enough(now)):
                return now
            earlier = now
            await asyncio.sleep(_READING_S)
        return earlier

    def _counts_all(self, before: Statistics, now: Statistics, traffic: Traffic) -> bool:
        """Return whether the ensembles and each step counted all that they answered."""
        counted = since(before, now)
        least = {
            **dict.fromkeys((ENSEMBLE, *self._instances), traffic.answered_at_first),
            **dict.fromkeys((ENSEMBLE_ISOLATED, DECODE_ISOLATED), traffic.answered_alone),
        }
        return counted is None or all(model.requests >= least.get(name, 0) for name, model in counted.items())


async def _answer(ask: Callable[[], Awaitable[T]]) -> T:
    """Return an answer of the server; ask again while it is unavailable, as where a connection broke."""

    async def answered(_: int) -> T:
        try:
            return await ask()
        except PhotoRejectedError as exc:
            # A server that stops unloads its models first, and says that it has none.
            raise ServerUnavailableError(f"the server is unavailable, it stops or unloaded its models: {exc}") from exc

    return await ask_again(answered, _RETRY)
