"""Triton model configurations, read, adapted and compared through the protobuf message.

The canonical files lie in `model_repository/`. A pack's configs are made from them: tensors from the pack's
contracts, steps and outputs without the heads that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsengine.contracts import steps
from fsengine.contracts.tensors import DType, ModelSpec, TensorSpec
from fsengine.errors import PackError

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

CONFIG_FILE = "config.pbtxt"

_ENSEMBLE_NAMES = {
    (steps.ALIGN, "portrait_crop"): "aligned_face",
    (steps.EMBED, "portrait_crop"): "aligned_face",
    (steps.ETHNICITY, steps.FIL_INPUT): "face_embedding",
    (steps.ETHNICITY, steps.FIL_OUTPUT): "ethnicity_probability",
}
"""Tensors whose name in the ensemble differs from their name in the step."""


def read_config(path: Path) -> pb.ModelConfig:
    """Parse a `config.pbtxt`.

    Raises:
        PackError: The file is missing or is not a Triton model configuration.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    try:
        return text_format.Parse(path.read_text(), pb.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as exc:
        raise PackError(f"{path} is not a Triton model configuration: {exc}") from exc


def config_text(config: pb.ModelConfig) -> str:
    """Return a configuration in the text form that Triton reads."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(config)
    return text


def apply_spec(config: pb.ModelConfig, spec: ModelSpec) -> None:
    """Write a contract's tensors and batch limit into the configuration of its model."""
    if config.name != spec.name:
        raise PackError(f"configuration of {config.name!r} given for the contract of {spec.name!r}")
    if config.backend == "fil" and spec.inputs[0].name != steps.FIL_INPUT:
        # A graph in place of the forest: Triton infers its backend from the artifact.
        for field in ("backend", "default_model_filename", "parameters"):
            config.ClearField(field)
    ragged = {tensor.name for tensor in config.input if tensor.allow_ragged_batch}
    config.max_batch_size = spec.max_batch_size
    del config.input[:]
    del config.output[:]
    for tensor in spec.inputs:
        config.input.add(
            name=tensor.name,
            data_type=_data_type(tensor.dtype),
            dims=tensor.shape,
            allow_ragged_batch=tensor.name in ragged,
        )
    for tensor in spec.outputs:
        config.output.add(name=tensor.name, data_type=_data_type(tensor.dtype), dims=tensor.shape)


def spec_of(config: pb.ModelConfig) -> ModelSpec:
    """Return the contract that a configuration states, as `apply_spec` writes it."""
    from tritonclient.grpc import model_config_pb2 as pb

    def tensors(fields: Iterable[Any]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                name=tensor.name,
                dtype=DType(pb.DataType.Name(tensor.data_type).removeprefix("TYPE_")),
                shape=tuple(tensor.dims),
            )
            for tensor in fields
        )

    return ModelSpec(
        name=config.name,
        max_batch_size=config.max_batch_size,
        inputs=tensors(config.input),
        outputs=tensors(config.output),
    )


def apply_ensemble(config: pb.ModelConfig, specs: Iterable[ModelSpec]) -> None:
    """Write the steps of a pack into the configuration of the ensemble.

    Steps are wired by the names of their tensors; an output of `steps.ENSEMBLE_OUTPUTS` is given where some step
    makes it.
    """
    specs = list(specs)
    made: dict[str, TensorSpec] = {}
    del config.ensemble_scheduling.step[:]
    for spec in specs:
        step = config.ensemble_scheduling.step.add(model_name=spec.name, model_version=-1)
        for tensor in spec.inputs:
            step.input_map[tensor.name] = ensemble_name(spec.name, tensor.name)
        for tensor in spec.outputs:
            name = ensemble_name(spec.name, tensor.name)
            step.output_map[tensor.name] = name
            made[name] = TensorSpec(name=name, dtype=tensor.dtype, shape=_ensemble_shape(spec, tensor))
    del config.output[:]
    for name in steps.ENSEMBLE_OUTPUTS:
        if name in made:
            config.output.add(name=name, data_type=_data_type(made[name].dtype), dims=made[name].shape)


def ensemble_name(step: str, tensor: str) -> str:
    """Return the name in the ensemble of a step's tensor."""
    return _ENSEMBLE_NAMES.get((step, tensor), tensor)


def _ensemble_shape(spec: ModelSpec, tensor: TensorSpec) -> tuple[int, ...]:
    """Return a step's tensor with the ensemble's own first axis: 1 for a photo, -1 for its faces."""
    if spec.max_batch_size == 0:
        return tensor.shape
    of_photo = (steps.DECODE, steps.DECODE_ISOLATED, steps.DETECT)
    return (1 if spec.name in of_photo else -1, *tensor.shape)


def _data_type(dtype: DType) -> pb.DataType:
    from tritonclient.grpc import model_config_pb2 as pb

    return pb.DataType.Value(dtype.triton)
