"""TensorRT's Python package as the toolchain: where there is no `trtexec`, as with the extra `gpu`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsengine.gpu import Gpu
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.profile import InputProfile
from fsengine.plans.tensorrt.builder import build_plan
from fsengine.plans.tensorrt.library import tensorrt_version
from fsengine.plans.toolchain import OnPhase


class PythonTensorRT:
    """The toolchain of TensorRT's Python package.

    Attributes:
        version: Of TensorRT.
        gpu: The GPU.
    """

    def __init__(self, gpu: Gpu) -> None:
        """Import TensorRT.

        Args:
            gpu: The first GPU that is visible.

        Raises:
            MissingDependencyError: TensorRT is not there, or too old.
        """
        self.gpu = gpu
        self.version = tensorrt_version()

    def compile(
        self,
        graph: Path,
        inputs: Sequence[InputProfile],
        settings: BuildSettings,
        timing_cache: Path,
        out: Path,
        on_phase: OnPhase,
    ) -> None:
        """Write the plan of a graph; see `Toolchain.compile`."""
        out.write_bytes(build_plan(graph, inputs, settings, timing_cache=timing_cache, on_phase=on_phase))
