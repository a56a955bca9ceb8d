"""Stand-in for the `onnxruntime` backend, on the CPU or a GPU: the requests of one execution run as one batch."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from fsengine.backends.config_rules import BackendConfig, read_backend_config
from fsengine.backends.onnxruntime_rules import check_tensors, cuda_provider_options, session_settings
from fsengine.backends.placeholders import faces_among, no_face_answer, reads_crops, with_placeholders
from fsengine.backends.request_batches import Arrays, in_equal_batches, input_arrays, response, run_as_one
from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX
from fsengine.errors import PackError
from fsengine.server.threads import step_threads, take_priority

RUN_INPUT_BYTES = 3 * DETECTOR_SIDE_PX**2
"""The most bytes that one run reads on the CPU, if it has more than one row: one photo of a detector, 8 crops of CLIP.

What a graph computes in between takes 20 to 300 times its input, and must not grow with a crowd. CLIP is no faster with
more rows, and takes 1.3 times as long with one (docs/background/performance.md).
"""

GPU_ROWS = 16
"""Rows of every run on a GPU. ONNX Runtime from 1.20 on keeps one plan for each convolution and makes it anew whenever
the shape is another than before: on an H200 0.3 s for a detector and 0.6 to 2 s for a small encoder, and a server whose
batches varied got through fewer photos with sixteen in flight than with one (microsoft/onnxruntime, 23006)."""

_CUDA = "CUDAExecutionProvider"


def open_session(config: BackendConfig, options: Any) -> Any:
    """Return a session on the device of a configuration.

    Raises:
        PackError: It asks for a GPU, and ONNX Runtime cannot run it there; it would fall back to the CPU silently.
    """
    import onnxruntime as ort

    if config.gpu is None:
        return ort.InferenceSession(str(config.artifact), options, providers=["CPUExecutionProvider"])
    providers = [(_CUDA, cuda_provider_options(config)), "CPUExecutionProvider"]
    if _CUDA in ort.get_available_providers():
        ort.preload_dlls()  # CUDA and cuDNN of the wheels, which the loader does not find by itself
        session = ort.InferenceSession(str(config.artifact), options, providers=providers)
        if session.get_providers()[0] == _CUDA:
            return session
    raise PackError(
        f"model {config.name!r} is to run on GPU {config.gpu}, and ONNX Runtime {ort.__version__} here has "
        f"{ort.get_available_providers()}; pip install 'facestats[gpu]' (in place of onnxruntime), and see whether its "
        "CUDA libraries load"
    )


class TritonPythonModel:
    """One ONNX graph."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph and compare it with the configuration."""
        import onnxruntime as ort

        self._config: BackendConfig = read_backend_config(args, "model.onnx")
        take_priority(self._config.name)
        settings = session_settings(self._config, step_threads(self._config.instances))
        options = ort.SessionOptions()
        options.intra_op_num_threads = settings.intra_op_threads
        options.inter_op_num_threads = settings.inter_op_threads
        options.execution_mode = ort.ExecutionMode(settings.execution_mode)
        options.graph_optimization_level = ort.GraphOptimizationLevel(settings.graph_level)
        # Spinning threads of one step would take the cores from the others.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = open_session(self._config, options)
        check_tensors(self._config, self._session.get_inputs(), self._session.get_outputs())
        self._input_names = [tensor.name for tensor in self._config.inputs]
        self._output_names = [tensor.name for tensor in self._config.outputs]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of one execution."""
        feeds = [input_arrays(request, self._input_names) for request in requests]
        if self._config.max_batch_size == 0:
            answers = [no_face_answer(self._config, feed) or self._run(feed) for feed in feeds]
        else:
            answers = run_as_one(feeds, self._run_batch)
        return [response(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _run_batch(self, feed: Arrays, num_rows: int) -> Arrays:
        """Run a batch, but for the placeholders in it."""
        if not reads_crops(self._config):
            return self._run_rows(feed, num_rows)
        faces = faces_among(*feed.values())
        if faces.all():
            return self._run_rows(feed, num_rows)
        num_faces = int(faces.sum())
        outputs = self._run_rows({name: array[faces] for name, array in feed.items()}, num_faces) if num_faces else {}
        return with_placeholders(self._config, outputs, faces)

    def _run_rows(self, feed: Arrays, num_rows: int) -> Arrays:
        """Run rows: on the CPU some at a time, on a GPU in one shape."""
        if self._config.gpu is not None:
            parts = in_equal_batches(feed, min(self._config.max_batch_size, GPU_ROWS))
        else:
            num_runs = ceil(num_rows / rows_of_a_run(feed))
            split = {name: np.array_split(array, num_runs) for name, array in feed.items()}
            parts = [{name: split[name][number] for name in split} for number in range(num_runs)]
        runs = [self._run(part) for part in parts]
        if len(runs) == 1:
            return runs[0]
        return {name: np.concatenate([run[name] for run in runs]) for name in self._output_names}

    def _run(self, feed: Arrays) -> Arrays:
        return dict(zip(self._output_names, self._session.run(self._output_names, feed), strict=True))


def rows_of_a_run(feed: Arrays) -> int:
    """Return how many rows of a batch run together on the CPU: as many as `RUN_INPUT_BYTES` holds, one at least."""
    row_bytes: int = sum(array[0].nbytes for array in feed.values())
    return max(1, RUN_INPUT_BYTES // row_bytes)
