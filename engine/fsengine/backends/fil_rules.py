"""What the native FIL backend asks of a configuration (since release 25.09), as pure functions.

Source: fil_backend:src/shared_state.h and docs/model_config.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from fsengine.backends.config_rules import BackendConfig
from fsengine.contracts.steps import FIL_INPUT, FIL_OUTPUT
from fsengine.contracts.tensors import DType
from fsengine.errors import PackError

ARTIFACTS = {"treelite_checkpoint": "checkpoint.tl", "lightgbm": "model.txt"}
"""`model_type` to the backend's default file name."""

_REMOVED = {"output_class": "is_classifier", "algo": "layout", "threads_per_tree": "chunk_size"}
_KNOWN = {
    "model_type",
    "is_classifier",
    "predict_proba",
    "threshold",
    "layout",
    "chunk_size",
    "transfer_threshold",
    "cpu_nthread",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilSettings:
    """How a forest is served.

    Attributes:
        model_type: A key of `ARTIFACTS`.
        num_classes: Width of the output.
        num_threads: `cpu_nthread`; 0 where it is not given.
    """

    model_type: str
    num_classes: int
    num_threads: int


def model_type(parameters: dict[str, str]) -> str:
    """Return the `model_type` of a configuration.

    Raises:
        PackError: It is none that is served here.
    """
    found = parameters.get("model_type", "")
    if found not in ARTIFACTS:
        raise PackError(f"FIL parameter model_type is {found!r}, expected one of {sorted(ARTIFACTS)}")
    return found


def forest_settings(config: BackendConfig) -> FilSettings:
    """Check a configuration and return how its forest is served.

    Raises:
        PackError: The native backend would refuse it, or serve something else than class probabilities.
    """

    def refuse(what: str) -> PackError:
        return PackError(f"model {config.name!r}: {what}")

    if config.max_batch_size < 1:
        raise refuse("the FIL backend needs max_batch_size above 0")
    if [(tensor.name, tensor.data_type) for tensor in config.inputs] != [(FIL_INPUT, DType.FP32.triton)]:
        raise refuse(f"the FIL backend takes one input {FIL_INPUT} of TYPE_FP32, found {config.inputs}")
    if [(tensor.name, tensor.data_type) for tensor in config.outputs] != [(FIL_OUTPUT, DType.FP32.triton)]:
        raise refuse(f"the FIL backend gives one output {FIL_OUTPUT} of TYPE_FP32, found {config.outputs}")
    for old, new in _REMOVED.items():
        if old in config.parameters:
            raise refuse(f"FIL parameter {old} is gone since 25.09; use {new}")
    if unknown := set(config.parameters) - _KNOWN:
        raise refuse(f"FIL parameters {sorted(unknown)} are unknown; known: {sorted(_KNOWN)}")
    if config.parameters.get("is_classifier") != "true" or config.parameters.get("predict_proba") != "true":
        raise refuse("class probabilities need FIL parameters is_classifier and predict_proba to be true")
    if "threshold" not in config.parameters:
        raise refuse("FIL reads parameter threshold without a default where is_classifier is true; set it")
    dims = config.outputs[0].dims
    if len(dims) != 1 or dims[0] < 2 or len(config.inputs[0].dims) != 1:
        raise refuse(f"FIL serves [features] -> [classes], found {config.inputs[0].dims} -> {dims}")
    return FilSettings(
        model_type=model_type(config.parameters),
        num_classes=dims[0],
        num_threads=int(config.parameters.get("cpu_nthread", "0")),
    )
