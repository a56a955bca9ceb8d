"""Triton model configurations, read, adapted and compared through the protobuf message.

The canonical files lie in `model_repository/`. A pack's configs are made from them: tensors from the pack's
contracts, steps and outputs without the heads that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsengine.contracts import steps
from fsengine.contracts.served import EMBEDDING, EMBEDDING_READ, ServedModels
from fsengine.contracts.tensors import DType, ModelSpec, TensorSpec
from fsengine.errors import PackError

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

CONFIG_FILE = "config.pbtxt"

_INTERNAL_SIZE = "image_size_internal"

_ENSEMBLE_NAMES = {
    steps.IMAGE_SIZE.name: _INTERNAL_SIZE,
    steps.answer_copy(steps.IMAGE_SIZE).name: steps.IMAGE_SIZE.name,
    "face_embedding": EMBEDDING_READ,
    "face_embedding_answer": EMBEDDING,
    steps.FIL_INPUT: EMBEDDING_READ,
    steps.FIL_OUTPUT: "ethnicity_probability",
    "portrait_crop": "aligned_face",
}
"""Tensors whose name in an ensemble differs from their name in the steps: what steps read has another than the copy
that callers get, see `fsengine.contracts.steps.answer_copy`."""


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


def served_by(ensemble: pb.ModelConfig) -> ServedModels:
    """Return what the configuration of `facestats` says that it serves.

    Raises:
        InferenceError: It lacks it, so that something else is served.
    """
    return ServedModels.from_parameters({name: value.string_value for name, value in ensemble.parameters.items()})


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


def apply_ensemble(config: pb.ModelConfig, specs: Iterable[ModelSpec], outputs: Iterable[str]) -> None:
    """Write the steps of a pack into the configuration of an ensemble, wired by the names of their tensors.

    Args:
        config: Adapted in place.
        specs: Its steps.
        outputs: What it gives, in this order, where some step makes it.

    Raises:
        PackError: A step reads one of the outputs, which Triton serves wrongly; see `steps.answer_copy`.
    """
    specs = list(specs)
    made: dict[str, TensorSpec] = {}
    del config.ensemble_scheduling.step[:]
    for spec in specs:
        step = config.ensemble_scheduling.step.add(model_name=spec.name, model_version=-1)
        for tensor in spec.inputs:
            step.input_map[tensor.name] = ensemble_name(tensor.name)
        for tensor in spec.outputs:
            name = ensemble_name(tensor.name)
            step.output_map[tensor.name] = name
            made[name] = TensorSpec(name=name, dtype=tensor.dtype, shape=_ensemble_shape(spec, tensor))
    del config.output[:]
    for name in outputs:
        if name in made:
            config.output.add(name=name, data_type=_data_type(made[name].dtype), dims=made[name].shape)
    _drop_unused(config)
    check_outputs(config)


def _drop_unused(config: pb.ModelConfig) -> None:
    """Leave out tensors that no step reads and no caller gets, which Triton refuses to load."""
    wired = config.ensemble_scheduling.step
    used = {tensor.name for tensor in config.output}.union(*(step.input_map.values() for step in wired))
    for step in wired:
        for tensor, name in list(step.output_map.items()):
            if name not in used:
                del step.output_map[tensor]


def check_outputs(config: pb.ModelConfig) -> None:
    """Check that no step of an ensemble reads one of its outputs.

    Raises:
        PackError: One does.
    """
    given = {tensor.name for tensor in config.output}
    for step in config.ensemble_scheduling.step:
        if read := given & set(step.input_map.values()):
            raise PackError(
                f"ensemble {config.name}: step {step.model_name} reads {', '.join(sorted(read))}, an output of the "
                "ensemble; Triton answers requests for some outputs wrongly then: give the output from a copy"
            )


def ensemble_name(tensor: str) -> str:
    """Return the name in an ensemble of a step's tensor."""
    return _ENSEMBLE_NAMES.get(tensor, tensor)


def _ensemble_shape(spec: ModelSpec, tensor: TensorSpec) -> tuple[int, ...]:
    """Return a step's tensor with the ensemble's own first axis: 1 for a photo, -1 for its faces."""
    if spec.max_batch_size == 0:
        return tensor.shape
    of_photo = (steps.DECODE, steps.DECODE_ISOLATED, steps.DETECT)
    return (1 if spec.name in of_photo else -1, *tensor.shape)


def _data_type(dtype: DType) -> pb.DataType:
    from tritonclient.grpc import model_config_pb2 as pb

    return pb.DataType.Value(dtype.triton)
