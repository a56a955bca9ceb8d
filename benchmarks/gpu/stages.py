"""The steps after decoding, each alone on real inputs, and whether they give what the CPU gives."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines import Engine, ForestEngine, OnnxEngine, build_plan_engine, is_forest
from fsclient.models.name_to_repository import served_repository
from fsengine.contracts import steps
from fsengine.errors import InvalidInputError, MissingDependencyError
from fsengine.gpu import find_gpu, show_only
from fsengine.packs.shipped import SHIPPED_PACK, shipped_folder
from fsengine.plans.built_plans import PLANS_FILE
from fsengine.plans.profile import batch_buckets
from fsengine.plans.tensorrt.python_package import PythonTensorRT
from fsengine.repository.assemble import GOLDEN_FILE, Target, read_served
from fsengine.repository.golden.answer_checks import ModelCheck, compare_photo
from fsengine.repository.golden.golden_answers import Answers, read_answers
from fsengine.repository.golden.questions import kept, step_inputs
from fsengine.repository.golden.recording import find_golden, record_answers
from fsengine.repository.golden.sample_inputs import Arrays, samples
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
    gpu = find_gpu(settings.gpu)
    show_only(gpu)
    toolchain = PythonTensorRT(gpu)
    yield from _run(settings, TENSORRT, lambda repository, step: build_plan_engine(repository, step, toolchain))


def _run(settings: Settings, library: str, open_engine: Open) -> Iterator[Outcome]:
    """Measure each step, then compare it."""
    target = Target.PIP if settings.gpu is None else Target.PIP_GPU
    repository = served_repository(settings.models, say, target=target)
    if (repository / PLANS_FILE).exists():
        raise InvalidInputError(f"{repository} has plans; give the pack, or the repository that they were built from")
    golden = _golden_answers(repository)
    for step in STEPS:
        questions = _questions(repository, step, golden)
        wanted = {}
        for kind in KINDS:
            part = f"{kind}/{library}/{step}"
            if settings.skips(part):
                continue
            if reason := _nothing_there(kind, library, repository, step):
                yield Outcome(name=part, status=Status.ABSENT, reason=reason)
            else:
                wanted[kind] = part
        if not wanted:
            continue
        try:
            engine = open_engine(repository, step)
        except Exception as exc:  # noqa: BLE001 - the report says it, and the other parts are measured
            yield from (not_run(part, exc) for part in wanted.values())
            continue
        with closing(engine):
            measuring = _Measuring(engine, repository, step, questions, golden, settings)
            for kind, part in wanted.items():
                yield attempt(part, functools.partial(measuring.speed if kind == SPEED else measuring.parity, part))


def _golden_answers(repository: Path) -> Answers:
    """Return what the models answer on the CPU: as it lies with them, or recorded."""
    shipped = shipped_folder("packs") / SHIPPED_PACK / GOLDEN_FILE
    found = find_golden(read_served(repository), repository / GOLDEN_FILE, shipped)
    return record_answers(repository) if found is None else read_answers(found)


def _questions(repository: Path, step: str, golden: Answers) -> list[_Question]:
    """Return what a step is asked; nothing where the models have no such step."""
    if not (repository / step).is_dir():
        return []
    asked = (
        (sample.name, step_inputs(step, sample, golden.of, lambda model: read_config(repository / model / CONFIG_FILE)))
        for sample in samples()
    )
    return [_Question(photo=photo, feed=feed) for photo, feed in asked if feed is not None]


def _nothing_there(kind: str, library: str, repository: Path, step: str) -> str | None:
    """Return why a part has nothing to measure, or None where it has."""
    if not (repository / step).is_dir():
        return f"the models have no {step} step"
    if not is_forest(repository, step):
        return None
    if library == TENSORRT:
        return "a forest has no plan; the container's FIL backend runs it"
    return None if kind == SPEED else "a forest runs on the CPU in the embedded server: there is nothing to compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One photo that a step is asked about.

    Attributes:
        photo: Its name.
        feed: The inputs of the step.
    """

    photo: str
    feed: Arrays


@dataclass(frozen=True, slots=True)
class _Measuring:
    """One step that is loaded."""

    engine: Engine
    repository: Path
    step: str
    questions: Sequence[_Question]
    golden: Answers
    settings: Settings

    def speed(self, part: str) -> Outcome:
        """Measure every batch size, or every photo where the step does not batch."""
        spec = spec_of(read_config(self.repository / self.step / CONFIG_FILE))
        precision = read_served(self.repository).precision(self.step)
        clip = self.step == steps.EMBED and is_clip(spec)

        def row(feed: Arrays, num_rows: int) -> Row:
            seconds = self._steady_seconds(feed)
            measured_row: Row = {"precision": precision, "ms": 1e3 * seconds, "rows_per_s": num_rows / seconds}
            compute = clip_compute(num_rows / seconds, precision, self.settings.gpu_name) if clip else {}
            return measured_row | compute

        if spec.max_batch_size:
            feeds = [question.feed for question in self.questions]
            feed = {name: np.concatenate([each[name] for each in feeds]) for name in feeds[0]}
            rows = [
                row_or_failure({"batch": batch}, functools.partial(row, _tiled(feed, batch), batch))
                for batch in batch_buckets(spec.max_batch_size)
            ]
        else:
            rows = [
                row_or_failure(
                    {"photo": question.photo, "faces": int((question.feed["detected_score"] > 0).sum())},
                    functools.partial(row, question.feed, 1),
                )
                for question in self.questions
            ]
        notes = [f"a row is a {'photo' if self.step in (steps.DETECT, steps.ALIGN) else 'face'}"]
        if clip:
            notes.append(CLIP_NOTE)
        if is_forest(self.repository, self.step):
            notes.append("a forest: Treelite on the CPU, as the embedded server runs it with and without a GPU")
        return measured(part, rows, notes)

    def parity(self, part: str) -> Outcome:
        """Compare with the golden answers: of each output the worst photo."""
        precision = read_served(self.repository).precision(self.step)
        check = ModelCheck(model=self.step)
        for question in self.questions:
            answer = kept(self.engine.run(question.feed))
            expected = self.golden.of[self.step][question.photo]
            compare_photo(check, question.photo, expected, answer, self.golden, precision)
        rows: list[Row] = [
            {
                "output": each.output,
                "difference": each.difference,
                "at_most": each.limit,
                "unit": each.unit,
                WITHIN: each.within,
            }
            for each in check.outputs.values()
        ]
        rows += [{"output": fault, WITHIN: False} for fault in check.faults]
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
