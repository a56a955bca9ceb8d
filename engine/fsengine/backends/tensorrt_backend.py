"""Stand-in for the `tensorrt` backend: the requests of one execution run as one batch of a plan."""

from __future__ import annotations

from typing import Any

from fsengine.backends.config_rules import BackendConfig, read_backend_config
from fsengine.backends.request_batches import input_arrays, padded, response, run_as_one
from fsengine.errors import PackError
from fsengine.plans.tensorrt.engine import PlanEngine


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
        feeds = [input_arrays(request, self._engine.inputs) for request in requests]
        if self._config.max_batch_size == 0:
            answers = [self._engine.run(feed) for feed in feeds]
        else:
            answers = run_as_one(feeds, lambda feed, _: self._engine.run(padded(feed, self._config.max_batch_size)))
        return [response(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def finalize(self) -> None:
        """Free the memory of the GPU."""
        self._engine.close()
