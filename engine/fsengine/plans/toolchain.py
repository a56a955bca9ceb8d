"""What compiles and runs plans: TensorRT on the GPU at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fsengine.gpu import Gpu, find_gpu, show_only
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.profile import InputProfile
from fsengine.plans.sample_run import Arrays
from fsengine.plans.tensorrt.builder import OnPhase, build_plan
from fsengine.plans.tensorrt.engine import PlanEngine
from fsengine.plans.tensorrt.library import tensorrt_version


class Engine(Protocol):
    """A loaded plan.

    Attributes:
        work_mib: Memory that one execution takes on top of weights, inputs and outputs.
    """

    work_mib: float

    def run(self, feed: Arrays) -> Arrays:
        """Return what the plan makes of inputs; see `PlanEngine.run`."""

    def close(self) -> None:
        """Free its memory."""


class Toolchain(Protocol):
    """Compiles graphs for one GPU and runs the plans.

    Attributes:
        version: Of TensorRT.
        gpu: The GPU.
    """

    version: str
    gpu: Gpu

    def compile(
        self,
        graph: Path,
        inputs: Sequence[InputProfile],
        settings: BuildSettings,
        timing_cache: Path,
        on_phase: OnPhase,
    ) -> bytes:
        """Return the plan of a graph; see `build_plan`."""

    def load(self, plan: Path) -> Engine:
        """Load a plan onto the GPU."""


class TensorRT:
    """The toolchain of TensorRT's Python package."""

    def __init__(self, gpu: int = 0) -> None:
        """Find TensorRT and the GPU.

        Args:
            gpu: Which one, see `find_gpu`.

        Raises:
            MissingDependencyError: TensorRT, or the driver, is not there.
            ServerError: There is no such GPU, or it is too old.
        """
        self.gpu = find_gpu(gpu)
        show_only(self.gpu)
        self.version = tensorrt_version()

    def compile(
        self,
        graph: Path,
        inputs: Sequence[InputProfile],
        settings: BuildSettings,
        timing_cache: Path,
        on_phase: OnPhase,
    ) -> bytes:
        """Return the plan of a graph; see `build_plan`."""
        return build_plan(graph, inputs, settings, timing_cache=timing_cache, on_phase=on_phase)

    def load(self, plan: Path) -> Engine:
        """Load a plan onto the GPU; see `PlanEngine`."""
        return PlanEngine(plan)
