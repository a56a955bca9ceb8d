"""How the steps share one GPU: instances and batch limits, from its memory and from measured stage times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fsengine.contracts import steps
from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX, MAX_PHOTO_PIXELS, MAX_SIDE_PX
from fsengine.errors import ServerError
from fsengine.repository.gpu_config import CUDA_MEMORY_MIB
from fsengine.terminal.messages import counted
from fsengine.terminal.tables import Block, Table

CONTEXT_MIB = 700
"""What CUDA and the libraries on it take of a GPU before any model does (a rule of thumb, not measured here)."""

DECODE_SHARE = 0.25
"""Share of the memory that decoding may take where every photo of a batch has the most pixels that are read."""

SECOND_INSTANCE_SHARE = 0.5
"""A step this near to the slowest gets a second instance: one copies and launches while the other computes."""

BYTES_PER_PIXEL = 3

CROWD_FACES, CROP_SIDE_PX = 32, 224
"""Crops that a photo between the steps is taken to have; a crowd has more, and few photos are crowds."""

MOST_DECODE_THREADS = 16

_STEPS_WITH_IMAGE = 3
"""decode, detect and align"""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNeeds:
    """What is known of a step before its instances are chosen.

    Attributes:
        name: The step.
        max_batch_size: Rows of one execution; 0 for a step that does not batch.
        weights_mib: Size of its artifact; instances share it where the backend lets them, which is not counted on.
        work_mib: What one instance takes on top of it; for decode one photo of the largest size.
        us_per_photo: Measured time of it that one photo takes, in microseconds; None where it was not measured.
    """

    name: str
    max_batch_size: int
    weights_mib: float
    work_mib: float
    us_per_photo: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLayout:
    """What was chosen for a step.

    Attributes:
        name: The step.
        instances: How many run at once.
        max_batch_size: Rows of one execution.
        memory_mib: What it takes, all instances.
        why: In words.
    """

    name: str
    instances: int
    max_batch_size: int
    memory_mib: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLayout:
    """What was chosen for a GPU.

    Attributes:
        memory_mib: Of the GPU.
        steps: In the order of the ensemble.
        photos_per_step: Limit of an ensemble's requests at each of its steps, so that images between them stay bounded.
        decode_threads: Threads of the host for what the GPU's decoder leaves to it: headers, PNG, WebP.
    """

    memory_mib: int
    steps: tuple[StepLayout, ...]
    photos_per_step: int
    decode_threads: int

    @property
    def used_mib(self) -> float:
        """Return what all of it takes, with what CUDA itself takes and tensors between the steps."""
        return CONTEXT_MIB + CUDA_MEMORY_MIB + sum(step.memory_mib for step in self.steps)


def waiting_mib(photos_per_step: int) -> float:
    """Return the memory of photos between the steps, each of the largest size, at all steps that hold its image.

    Args:
        photos_per_step: At most, at each step (triton-inference-server/core, ensemble_scheduler.cc).
    """
    image = BYTES_PER_PIXEL * (MAX_SIDE_PX**2 + DETECTOR_SIDE_PX**2)
    crops = BYTES_PER_PIXEL * CROWD_FACES * CROP_SIDE_PX**2
    return photos_per_step * (_STEPS_WITH_IMAGE * image + crops) / _MIB


def decode_work_mib() -> float:
    """Return what decoding takes of one photo with the most pixels that are read."""
    return BYTES_PER_PIXEL * MAX_PHOTO_PIXELS / _MIB


def choose_layout(memory_mib: int, needs: Sequence[StepNeeds], num_cores: int) -> GpuLayout:
    """Choose instances and batch limits.

    Args:
        memory_mib: Of the GPU.
        needs: Of every step on it, in the order of the ensemble.
        num_cores: Of the machine that serves.

    Raises:
        ServerError: One instance of each does not fit.
    """
    slowest = max((need.us_per_photo or 0.0 for need in needs), default=0.0)
    chosen = _firsts(needs, memory_mib)
    batch = max((step.max_batch_size for step in chosen if step.name == steps.DECODE), default=1)
    threads = max(2, min(MOST_DECODE_THREADS, num_cores // 2))
    per_step = max(1, min(4 * batch, int(CUDA_MEMORY_MIB / waiting_mib(1))))
    layout = GpuLayout(memory_mib=memory_mib, steps=tuple(chosen), photos_per_step=per_step, decode_threads=threads)
    if layout.used_mib > memory_mib:
        parts = ", ".join(f"{step.name} {step.memory_mib:.0f}" for step in chosen)
        raise ServerError(
            f"the steps need {layout.used_mib:.0f} MiB ({parts}, CUDA {CONTEXT_MIB}, between the steps "
            f"{CUDA_MEMORY_MIB}), the GPU has {memory_mib} MiB; take a smaller encoder or precision, "
            "or another GPU"
        )
    by_time = sorted(needs, key=lambda need: need.us_per_photo or 0.0, reverse=True)
    for need in by_time:
        if not need.us_per_photo or need.us_per_photo < SECOND_INSTANCE_SHARE * slowest:
            continue
        index = next(i for i, step in enumerate(chosen) if step.name == need.name)
        doubled = _doubled(chosen[index], need, slowest)
        more = replace(layout, steps=(*chosen[:index], doubled, *chosen[index + 1 :]))
        if more.used_mib <= memory_mib:
            chosen[index] = doubled
            layout = more
    return layout


def _firsts(needs: Sequence[StepNeeds], memory_mib: int) -> list[StepLayout]:
    """Return one instance of each step, with the largest decode batch of which all of them fit."""
    room = int(DECODE_SHARE * memory_mib / decode_work_mib())
    batch = 1 << max(0, room.bit_length() - 1)
    while True:
        chosen = [_first(need, batch) for need in needs]
        taken = CONTEXT_MIB + CUDA_MEMORY_MIB + sum(step.memory_mib for step in chosen)
        if batch == 1 or taken <= memory_mib:
            return chosen
        batch //= 2


def _first(need: StepNeeds, decode_batch: int) -> StepLayout:
    """Return one instance of a step."""
    batch, why = need.max_batch_size, "one instance"
    memory = need.weights_mib + need.work_mib
    if need.name in (steps.DECODE, steps.DECODE_ISOLATED):
        batch = min(batch, decode_batch)
        memory = need.work_mib * batch
        why = f"a photo of the largest size takes {need.work_mib:.0f} MiB to decode"
    if need.us_per_photo is None:
        why += ", not measured"
    return StepLayout(name=need.name, instances=1, max_batch_size=batch, memory_mib=memory, why=why)


def _doubled(step: StepLayout, need: StepNeeds, slowest: float) -> StepLayout:
    assert need.us_per_photo is not None
    share = need.us_per_photo / slowest
    why = "the slowest step" if share == 1 else f"{share:.0%} of the slowest step's time"
    return StepLayout(
        name=step.name,
        instances=2,
        max_batch_size=step.max_batch_size,
        memory_mib=2 * step.memory_mib,
        why=f"{why}: two instances, so that one copies while the other computes",
    )


def layout_blocks(layout: GpuLayout, times: Mapping[str, float]) -> list[Block]:
    """Return a layout as a table for people, and what all of it takes.

    Args:
        layout: What was chosen.
        times: Step to the microseconds of one photo; steps may lack.
    """
    rows = [
        (
            step.name,
            str(step.instances),
            str(step.max_batch_size or "-"),
            f"{step.memory_mib:.0f}",
            f"{times[step.name]:.0f}" if step.name in times else "-",
            step.why,
        )
        for step in layout.steps
    ]
    return [
        Table(header=("step", "instances", "batch", "MiB", "us/photo", "why"), rows=rows, align="lrrrrl"),
        f"{counted(layout.photos_per_step, 'photo')} at each step at most, {layout.decode_threads} threads to decode; "
        f"{layout.used_mib:.0f} of {layout.memory_mib} MiB, "
        f"with CUDA itself ({CONTEXT_MIB}) and what lies between the steps ({CUDA_MEMORY_MIB})",
    ]
