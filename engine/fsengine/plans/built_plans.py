"""Plans in a repository: the names of its files, and what `plans.json` says of every step that could have one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fsengine.errors import PackError
from fsengine.files.json_record import read_json, write_json
from fsengine.gpu import Gpu
from fsengine.plans.build_key import BuildSettings
from fsengine.repository.assemble import MANIFEST_FILE
from fsengine.repository.model_config import CONFIG_FILE

ONNX_FILE = "model.onnx"

PLAN_FILE = "model.plan"

PLANS_FILE = "plans.json"

BUILT, KEPT, REFUSED, PENDING = "built", "kept", "refused", "pending"
"""Of a step: it has a plan; it keeps its graph as it was asked to; it keeps its graph as TensorRT refuses it, or its
plan differs or does not load; it has its graph until plans were built and tried. The tag `plan` of its metrics says the
same, see `fsengine.repository.golden`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What became of a step with a graph.

    Attributes:
        state: `BUILT`, `KEPT`, `REFUSED` or `PENDING`.
        key: See `PlanKey.key`; empty without a plan.
        why: Why it has none, for people.
    """

    state: str
    key: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansRecord:
    """A repository that was made for the GPUs of one machine.

    Attributes:
        source: See `source_id`, of the repository with graphs that it was made from.
        gpu: Name of the GPUs.
        num_gpus: How many.
        tensorrt: What built the plans, for example `11.4.0.106`; empty without plans.
        settings: How they were built.
        steps: Each step with a graph in `source`.
        checked: Whether a server answered with it as the golden answers say.
    """

    source: str
    gpu: str
    num_gpus: int
    tensorrt: str = ""
    settings: BuildSettings | None = None
    steps: Mapping[str, StepPlan]
    checked: bool = False

    def made_for(self, source: Path, gpu: Gpu, num_gpus: int) -> bool:
        """Return whether it was made from a repository for these GPUs."""
        return (self.source, self.gpu, self.num_gpus) == (source_id(source), gpu.name, num_gpus)

    def built_with(self, tensorrt: str, settings: BuildSettings) -> bool:
        """Return whether a TensorRT built its plans so."""
        return (self.tensorrt, self.settings) == (tensorrt, settings)

    def keeps(self, keep_onnx: Iterable[str]) -> bool:
        """Return whether those of some steps that have a graph are the ones that keep it as they were asked to."""
        return self.of(KEPT) == sorted(set(keep_onnx) & set(self.steps))

    def of(self, state: str) -> list[str]:
        """Return the steps in a state."""
        return sorted(step for step, plan in self.steps.items() if plan.state == state)

    def refusing(self, refused: Mapping[str, str]) -> PlansRecord:
        """Return it with further steps refused, each with why."""
        steps = {step: StepPlan(state=REFUSED, why=why) for step, why in refused.items()}
        return replace(self, steps={**self.steps, **steps})


def source_id(source: Path) -> str:
    """Return what tells one assembled repository from another: a hash of its manifest and its configurations."""
    digest = hashlib.sha256()
    for path in (source / MANIFEST_FILE, *sorted(source.glob(f"*/{CONFIG_FILE}"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_plans(repository: Path) -> PlansRecord | None:
    """Return what `plans.json` says, None where there is none.

    Raises:
        PackError: It is damaged.
    """
    path = repository / PLANS_FILE
    if not path.exists():
        return None
    return read_json(path, PlansRecord, lambda text: PackError(f"{text}; remove {repository} and build it again"))


def write_plans(repository: Path, record: PlansRecord) -> None:
    """Write `plans.json`."""
    write_json(repository / PLANS_FILE, record)
