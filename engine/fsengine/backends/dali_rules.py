"""What the native DALI backend asks of a configuration, as pure functions.

Source: dali_backend:README.md and docs/config.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from fsengine.backends.config_rules import BackendConfig
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
    if len(config.inputs) != 1 or config.inputs[0].data_type != DType.UINT8.triton or config.inputs[0].dims != (-1,):
        raise refuse(f"encoded photos are one TYPE_UINT8 input of dims [-1], found {config.inputs}")
    if unknown := set(config.parameters) - _KNOWN:
        raise refuse(f"DALI parameters {sorted(unknown)} are unknown; known: {sorted(_KNOWN)}")
    threads = config.parameters.get("num_threads", "1")
    if not threads.isdigit() or int(threads) < 1:
        raise refuse(f"DALI parameter num_threads is {threads!r}, expected a number above 0")
    for tensor in config.outputs:
        if DType.from_triton(tensor.data_type) is None:
            known = sorted(dtype.triton for dtype in DType)
            raise refuse(f"output {tensor.name} has type {tensor.data_type}, expected one of {known}")


def check_pipeline(config: BackendConfig, *, has_input: bool, num_outputs: int) -> None:
    """Compare a configuration with its pipeline.

    Args:
        config: The configuration.
        has_input: Whether the pipeline has an external source of the configured input's name.
        num_outputs: Outputs of the pipeline, which the configuration names in their order.

    Raises:
        PackError: They differ.
    """
    if not has_input:
        raise PackError(
            f"model {config.name!r}: the pipeline has no external source named {config.inputs[0].name!r}, "
            "the configured input"
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
