"""What the native DALI backend asks of a configuration, as pure functions.

Source: dali_backend:README.md and docs/config.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from fsengine.backends.config_rules import BackendConfig
from fsengine.contracts.steps import decode_spec
from fsengine.contracts.tensors import DType
from fsengine.errors import PackError

_KNOWN = {"num_threads", "split_along_outer_axis"}


def check_config(config: BackendConfig) -> None:
    """Check what the configuration alone tells.

    Raises:
        PackError: The native backend would refuse it, or could not run it.
    """

    def refuse(what: str) -> PackError:
        return PackError(f"model {config.name!r}: {what}")

    if config.max_batch_size < 1:
        raise refuse("the DALI backend needs max_batch_size above 0")
    if [(tensor.data_type, tensor.dims) for tensor in config.inputs] != [
        (spec.dtype.triton, spec.shape) for spec in decode_spec().inputs
    ]:
        raise refuse(
            "the inputs are encoded photos, TYPE_UINT8 of dims [-1], and their orientations, TYPE_UINT8 of dims [1]; "
            f"found {config.inputs}"
        )
    if unknown := set(config.parameters) - _KNOWN:
        raise refuse(f"DALI parameters {sorted(unknown)} are unknown; known: {sorted(_KNOWN)}")
    threads = config.parameters.get("num_threads", "1")
    if not threads.isdigit() or int(threads) < 1:
        raise refuse(f"DALI parameter num_threads is {threads!r}, expected a number above 0")
    for tensor in config.outputs:
        if DType.from_triton(tensor.data_type) is None:
            known = sorted(dtype.triton for dtype in DType)
            raise refuse(f"output {tensor.name} has type {tensor.data_type}, expected one of {known}")


def check_pipeline(config: BackendConfig, *, missing_inputs: Sequence[str], num_outputs: int) -> None:
    """Compare a configuration with its pipeline.

    Args:
        config: The configuration.
        missing_inputs: Configured inputs of whose name the pipeline has no external source.
        num_outputs: Outputs of the pipeline, which the configuration names in their order.

    Raises:
        PackError: They differ.
    """
    if missing_inputs:
        raise PackError(
            f"model {config.name!r}: the pipeline has no external source named {' or '.join(map(repr, missing_inputs))}"
            ", as configured"
        )
    if num_outputs != len(config.outputs):
        raise PackError(
            f"model {config.name!r}: the pipeline has {num_outputs} outputs, "
            f"the configuration maps {len(config.outputs)}"
        )


def merge_groups(lengths: Sequence[int], *, ragged: bool) -> list[list[int]]:
    """Return which requests of an execution run together.

    Without `allow_ragged_batch` the native server never merges inputs of different lengths.

    Args:
        lengths: Bytes of each request's input.
        ragged: Whether the input allows a ragged batch.

    Returns:
        Indexes of the requests of each run, in order.
    """
    if ragged:
        return [list(range(len(lengths)))]
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(length, []).append(index)
    return list(groups.values())
