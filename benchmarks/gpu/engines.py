"""One step of the ensemble, ready to run: in ONNX Runtime, as a plan of TensorRT, or as a forest in Treelite."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fsengine.backends.config_rules import BackendConfig, read_backend_config
from fsengine.backends.fil_rules import ARTIFACTS
from fsengine.backends.onnxruntime_backend import open_session
from fsengine.backends.onnxruntime_rules import session_settings
from fsengine.contracts import steps
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.built_plans import ONNX_FILE, PLAN_FILE
from fsengine.plans.profile import profile_of
from fsengine.plans.stored_plans import timing_cache_path
from fsengine.plans.tensorrt.engine import PlanEngine
from fsengine.plans.tensorrt.python_package import PythonTensorRT
from fsengine.repository.golden.sample_inputs import Arrays
from fsengine.repository.model_config import CONFIG_FILE, read_config, spec_of
from fsengine.terminal.messages import say
from machine import num_cores

_FOREST_FILE = ARTIFACTS["treelite_checkpoint"]


class Engine(Protocol):
    """A step that runs."""

    def run(self, feed: Arrays) -> Arrays:
        """Return what it makes of inputs."""

    def seconds_per_run(self, feed: Arrays, repeats: int) -> float:
        """Return the mean time of some runs on inputs that are on its device already; one before them is not timed."""

    def close(self) -> None:
        """Free its memory."""


class OnnxEngine:
    """A graph in a session as the embedded server opens it."""

    def __init__(self, repository: Path, step: str, gpu: int | None) -> None:
        """Open it.

        Raises:
            PackError: It is to run on a GPU, and ONNX Runtime cannot.
        """
        import onnxruntime as ort

        config = _served_config(repository, step, gpu)
        settings = session_settings(config, num_cores())
        options = ort.SessionOptions()
        options.intra_op_num_threads = settings.intra_op_threads
        options.graph_optimization_level = ort.GraphOptimizationLevel(settings.graph_level)
        self._session = open_session(config, options)
        self._outputs = [tensor.name for tensor in config.outputs]
        self._device = ("cpu", 0) if gpu is None else ("cuda", gpu)

    def run(self, feed: Arrays) -> Arrays:
        """Return what the graph makes of inputs."""
        return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))

    def seconds_per_run(self, feed: Arrays, repeats: int) -> float:
        """Time runs from device to device; ONNX Runtime waits for the GPU after each."""
        import onnxruntime as ort

        binding = self._session.io_binding()
        for name, array in feed.items():
            value = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), *self._device)
            binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, *self._device)
        binding.synchronize_inputs()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        started = time.perf_counter()
        for _ in range(repeats):
            self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return (time.perf_counter() - started) / repeats

    def close(self) -> None:
        """Free its memory."""
        del self._session


class ForestEngine:
    """A forest in Treelite on the CPU, as the embedded server runs it with and without a GPU."""

    def __init__(self, repository: Path, step: str) -> None:
        """Load it."""
        import treelite

        self._model = treelite.Model.deserialize(str(repository / step / "1" / _FOREST_FILE))

    def run(self, feed: Arrays) -> Arrays:
        """Return the probabilities, float32 (N, classes)."""
        import treelite

        features = feed[steps.FIL_INPUT]
        result = treelite.gtil.predict(self._model, features, nthread=num_cores())
        return {steps.FIL_OUTPUT: np.ascontiguousarray(result.reshape(len(features), -1), np.float32)}

    def seconds_per_run(self, feed: Arrays, repeats: int) -> float:
        """Time runs."""
        self.run(feed)
        started = time.perf_counter()
        for _ in range(repeats):
            self.run(feed)
        return (time.perf_counter() - started) / repeats

    def close(self) -> None:
        """Do nothing."""


def is_forest(repository: Path, step: str) -> bool:
    """Return whether a step is a forest and no graph."""
    return (repository / step / "1" / _FOREST_FILE).is_file()


def build_plan_engine(repository: Path, step: str, toolchain: PythonTensorRT) -> PlanEngine:
    """Compile the graph of a step and load the plan; with the timings of an earlier build it takes less time.

    Raises:
        ExportError: TensorRT cannot compile it.
    """
    profile = profile_of(spec_of(read_config(repository / step / CONFIG_FILE)))
    cache = timing_cache_path(toolchain.version, toolchain.gpu)
    cache.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    graph = repository / step / "1" / ONNX_FILE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PLAN_FILE
        toolchain.compile(graph, profile, BuildSettings(), cache, path, lambda *_: True)
        say(f"plan of {step} built in {time.perf_counter() - started:.0f} s")
        return PlanEngine(path)


def _served_config(repository: Path, step: str, gpu: int | None) -> BackendConfig:
    """Return the configuration of a step as Triton hands it to a backend."""
    from google.protobuf.json_format import MessageToDict

    config = read_config(repository / step / CONFIG_FILE)
    record: dict[str, Any] = {"max_batch_size": 0, **MessageToDict(config, preserving_proto_field_name=True)}
    arguments = {
        "model_config": json.dumps(record),
        "model_name": step,
        "model_instance_kind": "CPU" if gpu is None else "GPU",
        "model_instance_device_id": str(gpu or 0),
        "model_repository": str(repository / step),
        "model_version": "1",
    }
    return read_backend_config(arguments, ONNX_FILE)
