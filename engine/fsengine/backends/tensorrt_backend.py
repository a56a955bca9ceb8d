"""Stand-in for the `tensorrt` backend: the requests of one execution run as one batch of a plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from fsengine.backends.config_rules import BackendConfig, read_backend_config
from fsengine.backends.row_buckets import padded
from fsengine.errors import PackError
from fsengine.plans.tensorrt_engine import PlanEngine


class TritonPythonModel:
    """One plan on one GPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the plan and compare it with the configuration."""
        self._config: BackendConfig = read_backend_config(args, "model.plan")
        if self._config.gpu is None:
            raise PackError(f"model {self._config.name!r} is a plan and its configuration asks for the CPU")
        self._engine = PlanEngine(self._config.artifact, self._config.gpu)
        for kind, configured, found in (
            ("inputs", self._config.inputs, self._engine.inputs),
            ("outputs", self._config.outputs, self._engine.outputs),
        ):
            if {tensor.name for tensor in configured} != set(found):
                raise PackError(
                    f"model {self._config.name!r}: the plan's {kind} are {sorted(found)}, "
                    f"{sorted(tensor.name for tensor in configured)} are configured"
                )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of one execution."""
        feeds = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._engine.inputs}
            for request in requests
        ]
        if self._config.max_batch_size == 0:
            return [_response(request, self._engine.run(feed)) for request, feed in zip(requests, feeds, strict=True)]
        rows = [len(next(iter(feed.values()))) for feed in feeds]
        merged = {name: np.concatenate([feed[name] for feed in feeds]) for name in self._engine.inputs}
        outputs = self._engine.run(padded(merged, self._config.max_batch_size))
        ends = np.cumsum(rows)
        return [
            _response(request, {name: array[end - count : end] for name, array in outputs.items()})
            for request, count, end in zip(requests, rows, ends, strict=True)
        ]

    def finalize(self) -> None:
        """Free the memory of the GPU."""
        self._engine.close()


def _response(request: Any, outputs: dict[str, Any]) -> Any:
    wanted = request.requested_output_names()
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in wanted])
