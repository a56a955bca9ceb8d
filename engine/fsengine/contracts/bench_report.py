"""The report of a benchmark of a server, as JSON: what the client writes and the engine plans with."""

from __future__ import annotations

import msgspec


class LatencyReport(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of the time from request to answer, in milliseconds; each was measured.

    Attributes:
        p50: Half of the answers took no longer.
        p90: 90 % of them.
        p95: 95 % of them.
        p99: 99 % of them.
        max: All of them.
    """

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class StageReport(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the ensemble, by the server's own statistics.

    Attributes:
        name: The step.
        compute_us: Microseconds of a request inside an instance, a mean.
        queue_us: Microseconds that a request waits for an instance, a mean.
        batch_size: Photos, or faces, of an execution, a mean.
        busy_share: Share of the time that the instances work, 0 to 1; above 1 where a backend overlaps batches.
        instances: Copies of the model that run at the same time.
        requests: Requests that it answered.
        rows: Photos, or faces, in them.
        executions: Batches that its instances ran.
    """

    name: str
    compute_us: float
    queue_us: float
    batch_size: float
    busy_share: float
    instances: int
    requests: int
    rows: int
    executions: int


class LevelReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured with one number of photos in flight.

    Attributes:
        concurrency: Photos in flight.
        photos_per_second: Photos that were answered in a second.
        faces_per_second: Faces in the answers of a second.
        latency_ms: Percentiles; None without an answer.
        seconds: From the first request to the last answer.
        rounds: How often each photo was sent.
        requests: Photos sent, each counted as often as it was.
        failed_requests: Of these, not answered.
        failures: Photos of which any request failed, or that their header refused.
        failure_reasons: Reason, one word, to the photos that failed for it.
        stages: In the order of the ensemble; none where the server kept its statistics.
        bound_by: A stage, `client` or `concurrency`; None without stages or without answers.
        notes: What a reader must know of these numbers.
        client_busy_share: Time of the processor that the measuring program took, by the level's time: near 1 it is the
            bound itself, as its work is done on one core; None in reports of earlier versions.
    """

    concurrency: int
    photos_per_second: float
    faces_per_second: float
    latency_ms: LatencyReport | None
    seconds: float
    rounds: int
    requests: int
    failed_requests: int
    failures: int
    failure_reasons: dict[str, int]
    stages: list[StageReport]
    bound_by: str | None
    notes: list[str]
    client_busy_share: float | None = None


class ModelsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was served.

    Attributes:
        pack: Name of the model pack.
        model_set_id: Of its models.
        preprocessing_id: Of the preprocessing contract.
    """

    pack: str
    model_set_id: str
    preprocessing_id: str


class BenchReport(LevelReport, frozen=True, kw_only=True):
    """A whole benchmark: the numbers of the level with the most photos in a second, then all levels.

    Attributes:
        photos: Photos that were given.
        levels: In the order of measuring.
        server: Its `host:port`.
        runtime: What runs the models, with its version.
        models: What was served.
        marks: Mark, such as `untrained weights`, to the steps that bear it.
        perf_analyzer: The command line that asks the server the same with NVIDIA's client, where it can be asked so.
    """

    photos: int
    levels: list[LevelReport]
    server: str
    runtime: str
    models: ModelsReport
    marks: dict[str, list[str]]
    perf_analyzer: str | None = None
