"""Plans in a repository: the names of its files, and what `plans.json` says they were built with.

Read by the server image too, which has neither numpy nor msgspec.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

ONNX_FILE = "model.onnx"

PLAN_FILE = "model.plan"

PLANS_FILE = "plans.json"
"""Says what the plans of a repository were built with; whoever serves them compares it first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPlan:
    """One plan of a repository.

    Attributes:
        key: See `PlanKey.key`.
        sha256: Of the file.
        work_mib: See `StoredPlan`.
        parity: Largest relative error of each output.
    """

    key: str
    sha256: str
    work_mib: float
    parity: Mapping[str, float]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.work_mib) and self.work_mib >= 0):
            raise ValueError(f"work_mib is {self.work_mib}, expected 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPlans:
    """All plans of a repository.

    Attributes:
        tensorrt: Version, for example `11.4.0.106`.
        compute_capability: For example `9.0`.
        gpu: Name of the GPU that they were built on.
        models: Step to its plan.
    """

    tensorrt: str
    compute_capability: str
    gpu: str
    models: Mapping[str, BuiltPlan]
