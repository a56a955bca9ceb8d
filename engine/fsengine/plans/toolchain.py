"""What compiles graphs to plans: Triton's `trtexec`, or TensorRT's Python package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from fsengine.gpu import Gpu
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.profile import InputProfile

OnPhase = Callable[[str, int, int], bool]
"""Called with a phase of the build, its finished steps and all of its steps; False gives the build up."""


class Toolchain(Protocol):
    """Compiles graphs for one GPU.

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
        out: Path,
        on_phase: OnPhase,
    ) -> None:
        """Write the plan of a graph.

        Args:
            graph: The ONNX file.
            inputs: Shapes of every input.
            settings: How to build.
            timing_cache: File of kernel timings of earlier builds; read where it is there, and written afterwards.
            out: Where the plan is to lie.
            on_phase: Told of progress.

        Raises:
            ExportError: TensorRT refuses the graph or the shapes, or finds no kernels.
            ServerError: TensorRT cannot use the GPU.
        """
