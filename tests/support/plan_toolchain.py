"""A toolchain for machines without a GPU: a "plan" is its graph."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from fsengine.errors import ExportError
from fsengine.gpu import Gpu
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.profile import InputProfile
from fsengine.plans.toolchain import OnPhase

H200 = Gpu(index=0, uuid="GPU-0", name="NVIDIA H200", compute_capability=(9, 0), memory_mib=143771, driver="580.95.05")


class GraphToolchain:
    """Remembers what it was asked to compile.

    Attributes:
        compiled: The shapes of each graph that was compiled, by its step.
    """

    def __init__(self, version: str = "11.4.0.106", gpu: Gpu = H200, refused: Collection[str] = ()) -> None:
        self.version = version
        self.gpu = gpu
        self.compiled: dict[str, tuple[InputProfile, ...]] = {}
        self._refused = refused

    def compile(
        self,
        graph: Path,
        inputs: Sequence[InputProfile],
        settings: BuildSettings,
        timing_cache: Path,
        out: Path,
        on_phase: OnPhase,
    ) -> None:
        step = graph.parents[1].name
        if step in self._refused:
            raise ExportError(f"TensorRT does not import {graph}: no importer")
        self.compiled[step] = tuple(inputs)
        assert on_phase("Building", 0, 2)
        timing_cache.write_bytes(b"timings")
        out.write_bytes(graph.read_bytes())
