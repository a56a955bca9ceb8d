"""Stand-in for the `onnxruntime` backend, on the CPU or a GPU: the requests of one execution run as one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fsengine.backends.config_rules import BackendConfig, read_backend_config
from fsengine.backends.onnxruntime_rules import check_tensors, cuda_provider_options, session_settings
from fsengine.backends.request_batches import input_arrays, padded, response, run_as_one
from fsengine.errors import PackError
from fsengine.server.threads import step_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_ROWS = 4
"""Rows of one run on the CPU, so that a crowd does not take memory for all of its faces at once."""

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
        settings = session_settings(self._config, step_threads())
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
            answers = [self._run(feed) for feed in feeds]
        else:
            answers = run_as_one(feeds, self._run_in_chunks)
        return [response(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _run_in_chunks(self, feed: dict[str, NDArray[Any]], num_rows: int) -> dict[str, NDArray[Any]]:
        """Run a batch: a chunk of rows at a time on the CPU, in as few shapes as buckets on a GPU."""
        if self._config.gpu is not None:
            return self._run(padded(feed, self._config.max_batch_size))
        if num_rows <= CHUNK_ROWS:
            return self._run(feed)
        chunks = [
            self._run({name: array[start : start + CHUNK_ROWS] for name, array in feed.items()})
            for start in range(0, num_rows, CHUNK_ROWS)
        ]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in self._output_names}

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._output_names, self._session.run(self._output_names, feed), strict=True))
