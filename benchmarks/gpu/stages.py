"""The steps after decoding, each alone on real inputs, and whether they give what the CPU gives."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines import Engine, ForestEngine, OnnxEngine, build_plan_engine, is_forest
from fsclient.models.name_to_repository import served_repository
from fsengine.contracts import steps
from fsengine.errors import InvalidInputError, MissingDependencyError
from fsengine.plans.built_plans import PLANS_FILE
from fsengine.plans.output_parity import OutputParity, compare
from fsengine.plans.profile import batch_buckets
from fsengine.plans.sample_run import Arrays, StepRun, run_samples
from fsengine.plans.served_config import precision_of
from fsengine.plans.toolchain import TensorRT
from fsengine.repository.assemble import Target
from fsengine.repository.model_config import CONFIG_FILE, read_config, spec_of
from fsengine.terminal.messages import say
from goals import CLIP_NOTE, clip_compute, is_clip
from outcome import WITHIN, Outcome, Row, Status, attempt, measured, not_run, row_or_failure
from settings import Settings

STEPS = (steps.DETECT, steps.ALIGN, steps.EMBED, *steps.HEADS)
ONNXRUNTIME, TENSORRT = "onnxruntime", "tensorrt"
KINDS = SPEED, PARITY = "stages", "parity"

Open = Callable[[Path, str], Engine]


def parts(library: str) -> tuple[str, ...]:
    """Return the names of a library's parts."""
    return tuple(f"{kind}/{library}/{step}" for step in STEPS for kind in KINDS)


def run_onnxruntime(settings: Settings) -> Iterator[Outcome]:
    """Measure the graphs in ONNX Runtime, and forests in Treelite."""

    def open_engine(repository: Path, step: str) -> Engine:
        if is_forest(repository, step):
            return ForestEngine(repository, step)
        return OnnxEngine(repository, step, settings.gpu)

    yield from _run(settings, ONNXRUNTIME, open_engine)


def run_tensorrt(settings: Settings) -> Iterator[Outcome]:
    """Measure plans, each built here first.

    Raises:
        MissingDependencyError: TensorRT is not here, or there is no GPU for it.
    """
    if settings.gpu is None:
        raise MissingDependencyError("a plan runs on a GPU alone, and --device cpu has none")
    toolchain = TensorRT(settings.gpu)
    yield from _run(settings, TENSORRT, lambda repository, step: build_plan_engine(repository, step, toolchain))


def _run(settings: Settings, library: str, open_engine: Open) -> Iterator[Outcome]:
    """Measure each step, then compare it."""
    target = Target.PIP if settings.gpu is None else Target.PIP_GPU
    repository = served_repository(settings.models, say, target=target)
    if (repository / PLANS_FILE).exists():
        raise InvalidInputError(f"{repository} has plans; give the pack, or the repository that they were built from")
    samples = run_samples(repository, settings.samples.paths)
    for step in STEPS:
        if is_forest(repository, step):
            embeddings = samples[steps.EMBED][0].outputs["face_embedding"]
            samples[step] = [StepRun(feed={steps.FIL_INPUT: embeddings}, outputs={})]
        wanted = {}
        for kind in KINDS:
            part = f"{kind}/{library}/{step}"
            if settings.skips(part):
                continue
            if reason := _nothing_there(kind, library, repository, step, samples):
                yield Outcome(name=part, status=Status.ABSENT, reason=reason)
            else:
                wanted[kind] = part
        if not wanted:
            continue
        try:
            engine = open_engine(repository, step)
        except Exception as exc:
            yield from (not_run(part, exc) for part in wanted.values())
            continue
        with closing(engine):
            measuring = _Measuring(engine, repository, step, samples[step], settings)
            for kind, part in wanted.items():
                yield attempt(part, functools.partial(measuring.speed if kind == SPEED else measuring.parity, part))


def _nothing_there(kind: str, library: str, repository: Path, step: str, samples: Mapping[str, object]) -> str | None:
    """Return why a part has nothing to measure, or None where it has."""
    if step not in samples:
        return f"the models have no {step} step"
    if not is_forest(repository, step):
        return None
    if library == TENSORRT:
        return "a forest has no plan; the container's FIL backend runs it"
    return None if kind == SPEED else "a forest runs on the CPU in the embedded server: there is nothing to compare"


@dataclass(frozen=True, slots=True)
class _Measuring:
    """One step that is loaded."""

    engine: Engine
    repository: Path
    step: str
    runs: Sequence[StepRun]
    settings: Settings

    def speed(self, part: str) -> Outcome:
        """Measure every batch size, or every photo where the step does not batch."""
        spec = spec_of(read_config(self.repository / self.step / CONFIG_FILE))
        precision = precision_of(self.repository, self.step)
        clip = self.step == steps.EMBED and is_clip(spec)

        def row(feed: Arrays, num_rows: int) -> Row:
            seconds = self._steady_seconds(feed)
            measured_row: Row = {"precision": precision, "ms": 1e3 * seconds, "rows_per_s": num_rows / seconds}
            compute = clip_compute(num_rows / seconds, precision, self.settings.gpu_name) if clip else {}
            return measured_row | compute

        if spec.max_batch_size:
            feed = self.runs[0].feed
            rows = [
                row_or_failure({"batch": batch}, functools.partial(row, _tiled(feed, batch), batch))
                for batch in batch_buckets(spec.max_batch_size)
            ]
        else:
            rows = [
                row_or_failure(
                    {"photo": path.name, "faces": int((run.outputs[steps.FACE_SCORE.name] > 0).sum())},
                    functools.partial(row, run.feed, 1),
                )
                for path, run in zip(self.settings.samples.paths, self.runs, strict=True)
            ]
        notes = [f"a row is a {'photo' if self.step in (steps.DETECT, steps.ALIGN) else 'face'}"]
        if clip:
            notes.append(CLIP_NOTE)
        if is_forest(self.repository, self.step):
            notes.append("a forest: Treelite on the CPU, as the embedded server runs it with and without a GPU")
        return measured(part, rows, notes)

    def parity(self, part: str) -> Outcome:
        """Compare with ONNX Runtime on the CPU: of each output the worst run."""
        precision = precision_of(self.repository, self.step)
        found: dict[str, list[OutputParity]] = {}
        for run in self.runs:
            for parity in compare(self.step, run.outputs, self.engine.run(run.feed), precision):
                found.setdefault(parity.output, []).append(parity)
        worst = [
            max(each, key=lambda p: math.inf if math.isnan(p.relative_error) else p.relative_error)
            for each in found.values()
        ]
        rows: list[Row] = [
            {
                "output": parity.output,
                "relative_error": parity.relative_error,
                "tolerance": parity.tolerance,
                "largest_difference": parity.largest_difference,
                WITHIN: parity.within,
            }
            for parity in worst
        ]
        return measured(part, rows)

    def _steady_seconds(self, feed: Arrays) -> float:
        """Return the mean time of as many runs as fill the time of a measurement."""
        repeats = 1
        while (seconds := self.engine.seconds_per_run(feed, repeats)) * repeats < self.settings.seconds:
            repeats = max(2 * repeats, math.ceil(self.settings.seconds / seconds))
        return seconds


def _tiled(feed: Arrays, num_rows: int) -> Arrays:
    """Return inputs of so many rows, those of real photos over and over."""
    return {name: array[np.arange(num_rows) % len(array)] for name, array in feed.items()}
