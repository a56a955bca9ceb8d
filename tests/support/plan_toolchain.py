"""A toolchain for machines without a GPU: a "plan" is its graph, and ONNX Runtime runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsengine.gpu import Gpu
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.profile import InputProfile
from fsengine.plans.sample_run import Arrays
from fsengine.plans.tensorrt.builder import OnPhase

H200 = Gpu(index=0, uuid="GPU-0", name="NVIDIA H200", compute_capability=(9, 0), memory_mib=143771, driver="580.95.05")


class GraphEngine:
    """A graph in ONNX Runtime in place of a plan in TensorRT."""

    work_mib = 100.0

    def __init__(self, plan: Path, spoil: Callable[[Arrays], Arrays]) -> None:
        import onnxruntime as ort

        self._session = ort.InferenceSession(plan.read_bytes(), providers=["CPUExecutionProvider"])
        self._spoil = spoil
        self.closed = False

    def run(self, feed: Arrays) -> Arrays:
        names = [output.name for output in self._session.get_outputs()]
        return self._spoil(dict(zip(names, self._session.run(names, feed), strict=True)))

    def close(self) -> None:
        self.closed = True


class GraphToolchain:
    """Remembers what it was asked to compile.

    Attributes:
        compiled: The shapes of each graph that was compiled, by its step.
        spoil: What is done to the outputs of its engines.
    """

    def __init__(self, version: str = "11.4.0.106", gpu: Gpu = H200) -> None:
        self.version = version
        self.gpu = gpu
        self.compiled: dict[str, tuple[InputProfile, ...]] = {}
        self.engines: list[GraphEngine] = []
        self.spoil: Callable[[Arrays], Arrays] = lambda outputs: outputs

    def compile(
        self,
        graph: Path,
        inputs: Sequence[InputProfile],
        settings: BuildSettings,
        timing_cache: Path,
        on_phase: OnPhase,
    ) -> bytes:
        self.compiled[graph.parents[1].name] = tuple(inputs)
        assert on_phase("Building", 0, 2)
        timing_cache.write_bytes(b"timings")
        return graph.read_bytes()

    def load(self, plan: Path) -> GraphEngine:
        self.engines.append(GraphEngine(plan, self.spoil))
        return self.engines[-1]


def scaled(factor: float, only: str | None = None) -> Callable[[Arrays], Arrays]:
    """Return what scales the float outputs that a name is part of."""

    def spoil(outputs: Arrays) -> Arrays:
        def one(name: str, array: Any) -> Any:
            hit = array.dtype == np.float32 and (only is None or only == name)
            return (array * np.float32(factor)).astype(np.float32) if hit else array

        return {name: one(name, array) for name, array in outputs.items()}

    return spoil
