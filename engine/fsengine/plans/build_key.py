"""What decides a plan: two builds with the same key give interchangeable plans."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from fsengine.plans.profile import InputProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """How plans are built.

    Attributes:
        optimization_level: Of the builder, 0 to 5: more time, faster plans.
        workspace_mib: The most memory that a kernel may use on top of its tensors.
        tf32: Whether fp32 products may be rounded to TF32, as TensorRT does by default.
    """

    optimization_level: int = 3
    workspace_mib: int = 4096
    tf32: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.optimization_level <= 5 or self.workspace_mib < 1:
            raise ValueError(f"{self} needs optimization_level 0 to 5 and workspace_mib above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanKey:
    """Everything that a plan depends on.

    A plan runs on the exact version of TensorRT and the compute capability that it was built with
    (TensorRT documentation, engine compatibility).

    Attributes:
        onnx_sha256: Of the graph.
        tensorrt: Version, for example `11.4.0.106`.
        compute_capability: For example `9.0`.
        gpu: Name of the GPU: kernels were timed on it.
        profile: See `profile_of`.
        settings: See `BuildSettings`.
    """

    onnx_sha256: str
    tensorrt: str
    compute_capability: str
    gpu: str
    profile: tuple[InputProfile, ...]
    settings: BuildSettings

    @property
    def key(self) -> str:
        """Return `plan-` and 16 hex digits of the SHA-256 of all of it."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return "plan-" + hashlib.sha256(text.encode()).hexdigest()[:16]
