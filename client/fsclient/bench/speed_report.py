"""What a benchmark measured: the report that other programs read, and tables for people."""

from __future__ import annotations

from typing import Any

import msgspec

from fsclient.bench.benchmark import BenchResult
from fsclient.bench.bottleneck import BY_CLIENT, BY_CONCURRENCY, CLIENT_BUSY_SHARE, Stage
from fsclient.bench.level import Level, latency_percentiles
from fsengine.contracts.bench_report import BenchReport, LatencyReport, LevelReport, ModelsReport, StageReport
from fsengine.terminal.messages import counted
from fsengine.terminal.tables import Block, Table

_SHOWN_FAILURES = 5

_RISING = 1.05
"""The last level's gain over all before it from which more photos in flight look worth trying."""


def bench_report(result: BenchResult) -> BenchReport:
    """Return the best level, all levels, and what was measured."""
    models = result.served.models
    levels = [_level_report(level) for level in result.levels]
    return BenchReport(
        photos=result.num_photos,
        **msgspec.structs.asdict(levels[result.levels.index(result.best)]),
        levels=levels,
        server=result.server,
        runtime=result.served.runtime,
        models=ModelsReport(
            pack=models.pack, model_set_id=models.model_set_id, preprocessing_id=models.preprocessing_id
        ),
        marks=dict(models.marks),
        perf_analyzer=result.perf_analyzer,
    )


def bench_json(result: BenchResult) -> dict[str, Any]:
    """Return `bench_report` as what `json.dumps` takes."""
    record: dict[str, Any] = msgspec.to_builtins(bench_report(result))
    return record


def _level_report(level: Level) -> LevelReport:
    found = latency_percentiles(level.traffic.latencies_ms)
    latency_ms = None
    if found is not None:
        latency_ms = LatencyReport(**{name: round(value, 2) for name, value in found.items()})
    return LevelReport(
        concurrency=level.concurrency,
        photos_per_second=round(level.photos_per_second, 2),
        faces_per_second=round(level.faces_per_second, 2),
        latency_ms=latency_ms,
        seconds=round(level.seconds, 3),
        rounds=level.rounds,
        requests=level.traffic.requests,
        failed_requests=level.traffic.failed,
        failures=len(level.failures),
        failure_reasons=dict(level.failure_reasons),
        stages=[_stage_report(stage) for stage in level.stages],
        bound_by=level.bound_by,
        notes=list(level.notes),
        client_busy_share=round(level.client_busy_share, 3),
    )


def _stage_report(stage: Stage) -> StageReport:
    return StageReport(
        name=stage.name,
        compute_us=round(stage.compute_us, 1),
        queue_us=round(stage.queue_us, 1),
        batch_size=round(stage.batch_size, 2),
        busy_share=round(stage.busy_share, 6),
        instances=stage.instances,
        requests=stage.counted.requests,
        rows=stage.counted.rows,
        executions=stage.counted.executions,
    )


def bench_blocks(result: BenchResult) -> list[Block]:
    """Return the levels as a table, then the stages of the best one and what bounds it."""
    best = result.best
    header = ["in flight", "photos/s", "faces/s", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "max ms"]
    header += ["requests", "failed"]
    levels = [_level_cells(level) for level in result.levels]
    blocks: list[Block] = [Table(header=header, rows=levels, align="lrrrrrrrrr")]
    if best.stages:
        header = ["stage", "busy %", "compute us", "queue us", "batch", "executions", "requests", "instances"]
        stages = [_stage_cells(stage) for stage in best.stages]
        blocks += ["", f"with {best.concurrency} in flight:", Table(header=header, rows=stages, align="lrrrrrrr")]
        blocks.append(bound_text(best))
    return blocks


def _level_cells(level: Level) -> list[str]:
    latency_ms = latency_percentiles(level.traffic.latencies_ms) or dict.fromkeys(("p50", "p90", "p95", "p99", "max"))
    return [
        str(level.concurrency),
        f"{level.photos_per_second:.2f}",
        f"{level.faces_per_second:.2f}",
        *("-" if value is None else f"{value:.1f}" for value in latency_ms.values()),
        str(level.traffic.requests),
        str(level.traffic.failed),
    ]


def _stage_cells(stage: Stage) -> list[str]:
    return [
        stage.name,
        f"{100 * stage.busy_share:.0f}",
        f"{stage.compute_us:.0f}",
        f"{stage.queue_us:.0f}",
        f"{stage.batch_size:.2f}",
        str(stage.counted.executions),
        str(stage.counted.requests),
        str(stage.instances),
    ]


def bound_text(level: Level) -> str:
    """Return what bounds the speed of a level with stages, as a sentence."""
    busiest = max(level.stages, key=lambda stage: stage.busy_share)
    busy = f"{100 * busiest.busy_share:.0f} % of the time"
    if level.bound_by is None:
        return f"no photo was answered, nothing is said of what bounds the speed; {busiest.name} is busy {busy}"
    if level.bound_by == BY_CONCURRENCY:
        return f"bound by the photos in flight: no stage is near busy, {busiest.name} is the busiest with {busy}"
    if level.bound_by == BY_CLIENT and level.client_busy_share >= CLIENT_BUSY_SHARE:
        return (
            f"bound by this program: it takes {100 * level.client_busy_share:.0f} % of a core; {busiest.name} is busy "
            f"{busy}"
        )
    if level.bound_by == BY_CLIENT:
        return f"bound by the client or the network: most of a photo's time passes there; {busiest.name} is busy {busy}"
    return f"bound by {busiest.name}: it is busy {busy}"


def notes_text(result: BenchResult) -> list[str]:
    """Return what a reader must know beside the tables, a line each: failures, notes of levels, marks, a hint."""
    lines = []
    failures = {source: failure for level in result.levels for source, failure in level.failures.items()}
    if failures:
        lines.append(
            f"{len(failures)} of {counted(result.num_photos, 'photo')} failed; percentiles are over answered photos"
        )
        shown = list(failures.items())[:_SHOWN_FAILURES]
        lines += [f"  {source}: {failure.reason}: {failure.message}" for source, failure in shown]
    for note in dict.fromkeys(note for level in result.levels for note in level.notes):
        where = ", ".join(str(level.concurrency) for level in result.levels if note in level.notes)
        lines.append(f"note, with {where} in flight: {note}")
    busy = [level for level in result.levels if level.client_busy_share >= CLIENT_BUSY_SHARE]
    if busy:
        where = ", ".join(str(level.concurrency) for level in busy)
        share = max(level.client_busy_share for level in busy)
        lines.append(f"note, with {where} in flight: this program took {share:.0%} of a core; the server may be faster")
    *before, last = result.levels
    if before and last.photos_per_second > _RISING * max(level.photos_per_second for level in before):
        lines.append("photos/s still rise at the last level: try more with --concurrency")
    if result.perf_analyzer is not None:
        lines.append(f"perf_analyzer asks the same (--write-perf-data writes its photos): {result.perf_analyzer}")
    if result.served.models.marks_text:
        lines.append(f"note: what is served is marked ({result.served.models.marks_text})")
    return lines
