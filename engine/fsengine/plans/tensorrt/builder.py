"""ONNX to a serialised TensorRT plan, with the API of TensorRT 11; the same calls exist from 10.12 on.

Networks are strongly typed: every precision is in the graph, and no flag here changes one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fsengine.errors import ExportError
from fsengine.files.atomic import temporary_file
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.profile import InputProfile
from fsengine.plans.tensorrt.library import last_words, on_gpu, tensorrt_logger
from fsengine.plans.toolchain import OnPhase

if TYPE_CHECKING:
    import tensorrt as trt
    from typing_extensions import Buffer

logger = logging.getLogger(__name__)


class _Build:
    """One build: TensorRT's objects, which must outlive each other in this order."""

    def __init__(self, settings: BuildSettings) -> None:
        import tensorrt as trt

        self.errors: list[str] = []
        self.logger = tensorrt_logger(self.errors)
        self.builder = on_gpu(lambda: trt.Builder(self.logger), self.errors)
        self.network = self.builder.create_network(_strongly_typed())
        self.config = self.builder.create_builder_config()
        self.config.builder_optimization_level = settings.optimization_level
        self.config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
        # The network refers to weights that the parser holds.
        self.parser = trt.OnnxParser(self.network, self.logger)
        if not settings.tf32:
            self.config.clear_flag(trt.BuilderFlag.TF32)

    def parse(self, graph: Path) -> None:
        """Import a graph.

        Raises:
            ExportError: TensorRT's parser refuses it; every reason is named.
        """
        if self.parser.parse_from_file(str(graph)):
            return
        errors = [self.parser.get_error(index) for index in range(self.parser.num_errors)]
        reasons = [f"{error.node_operator()} {error.node_name()!r}: {error.desc()}" for error in errors]
        raise ExportError(f"TensorRT does not import {graph}: {'; '.join(reasons) or last_words(self.errors)}")

    def add_profile(self, inputs: Sequence[InputProfile]) -> None:
        """State the shapes to build for.

        Raises:
            ExportError: TensorRT refuses them.
        """
        import tensorrt as trt

        profile = self.builder.create_optimization_profile()
        for item in inputs:
            profile.set_shape(item.name, trt.Dims(item.least), trt.Dims(item.typical), trt.Dims(item.greatest))
        if not profile or self.config.add_optimization_profile(profile) < 0:
            raise ExportError(f"TensorRT refuses the shapes {list(inputs)}: {last_words(self.errors)}")


def build_plan(
    graph: Path,
    inputs: Sequence[InputProfile],
    settings: BuildSettings,
    *,
    timing_cache: Path,
    on_phase: OnPhase | None = None,
) -> bytes:
    """Compile a graph for the GPU at hand.

    Args:
        graph: The ONNX file.
        inputs: Shapes of every input.
        settings: How to build.
        timing_cache: File of kernel timings of earlier builds with this TensorRT on this GPU; read where it is there,
            and written afterwards.
        on_phase: Told of progress.

    Returns:
        The plan.

    Raises:
        ServerError: TensorRT cannot use the GPU.
        ExportError: TensorRT refuses the graph or the shapes, or finds no kernels.
        KeyboardInterrupt: `on_phase` gave the build up.
    """
    build = _Build(settings)
    build.parse(graph)
    build.add_profile(inputs)
    cache = _attach_cache(build.config, timing_cache)
    stopped = _watch(build.config, on_phase)
    plan = build.builder.build_serialized_network(build.network, build.config)
    if stopped:
        raise KeyboardInterrupt
    if plan is None:
        raise ExportError(f"TensorRT could not build {graph}: {last_words(build.errors)}")
    _keep_cache(cache, timing_cache)
    return _bytes(plan)


def _attach_cache(config: trt.IBuilderConfig, file: Path) -> trt.ITimingCache:
    """Give a build the kernel timings of a file, or an empty cache where there are none that it takes."""
    stored = file.read_bytes() if file.is_file() else b""
    cache = config.create_timing_cache(stored)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return cache
    logger.warning("the timing cache %s is damaged, or of another GPU or TensorRT; it is made anew", file)
    cache = config.create_timing_cache(b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _keep_cache(cache: trt.ITimingCache, file: Path) -> None:
    """Write kernel timings for the next build; a plan is not lost for the sake of them."""
    try:
        with temporary_file(file) as temporary:
            temporary.write_bytes(_bytes(cache.serialize()))
    except OSError as exc:
        logger.warning("the timing cache %s cannot be written: %s", file, exc)


def _bytes(memory: trt.IHostMemory) -> bytes:
    # It has Python's buffer protocol, which its signatures do not say.
    return bytes(cast("Buffer", memory))


def _strongly_typed() -> int:
    """Return the flags of a strongly typed network: needed by TensorRT 10, accepted and without effect in 11."""
    import tensorrt as trt

    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _watch(config: trt.IBuilderConfig, on_phase: OnPhase | None) -> list[str]:
    """Have a build's progress told; the list that is returned holds the phase in which it was given up."""
    import tensorrt as trt

    stopped: list[str] = []
    if on_phase is None:
        return stopped
    tell = on_phase

    class Monitor(trt.IProgressMonitor):
        """Called by TensorRT from its own threads."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._totals: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: Any) -> None:
            self._totals[phase_name] = int(num_steps)
            self.step_complete(phase_name, -1)

        def phase_finish(self, phase_name: str) -> None:
            self._totals.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: Any) -> bool:
            try:
                go_on = not stopped and tell(phase_name, int(step) + 1, self._totals.get(phase_name, 0))
            except KeyboardInterrupt:
                go_on = False
            if not go_on:
                stopped.append(phase_name)
            return go_on

    config.progress_monitor = Monitor()
    return stopped
