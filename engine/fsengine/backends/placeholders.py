"""The placeholder row of a photo without a face, which no model needs to run for.

Triton refuses zero rows, so align answers one row with score 0 for such a photo, and clients drop it. The stand-in of
align marks the row's crops, and those of the steps that read crops answer zeros for a marked row. Native backends know
nothing of it: they run the row like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fsengine.contracts.steps import ALIGN, detected
from fsengine.contracts.tensors import DType
from fsengine.errors import PackError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fsengine.backends.config_rules import BackendConfig, TensorConfig
    from fsengine.backends.request_batches import Arrays

_DETECTED_SCORE = detected(max_faces=1)[2].name
_CROP_SUFFIX = "_crop"

_MARK = np.frombuffer(b"no face: a placeholder of FaceStats; ", np.uint8)
"""Repeated over a crop's bytes. No photo's pixels are that, while a face may well lie in plain black."""


def no_face_answer(config: BackendConfig, feed: Arrays) -> Arrays | None:
    """Return what align answers for a photo without a face, or None where its graph has to run.

    Args:
        config: Of any step.
        feed: The inputs of one photo.

    Returns:
        One row of each output: marked crops, and zeros in place of box, landmarks and score.
    """
    if config.name != ALIGN or feed[_DETECTED_SCORE].any():
        return None
    answer = {tensor.name: np.zeros((1, *tensor.dims[1:]), _dtype(config, tensor)) for tensor in config.outputs}
    return {
        name: np.resize(_MARK, array.shape) if name.endswith(_CROP_SUFFIX) else array for name, array in answer.items()
    }


def reads_crops(config: BackendConfig) -> bool:
    """Return whether a step reads one crop of each face and nothing else."""
    return len(config.inputs) == 1 and config.inputs[0].name.endswith(_CROP_SUFFIX)


def faces_among(crops: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which rows of a batch are faces and no placeholders.

    Args:
        crops: uint8 (N, side, side, 3).

    Returns:
        bool (N,).
    """
    mark = np.resize(_MARK, crops.shape[1:])
    # The first pixels settle nearly every crop without a look at the rest.
    return np.array([crop[0, 0].tobytes() != mark[0, 0].tobytes() or (crop != mark).any() for crop in crops], bool)


def with_placeholders(config: BackendConfig, outputs: Arrays, faces: NDArray[np.bool_]) -> Arrays:
    """Return a batch's outputs: those of the faces in their places, zeros in those of placeholders.

    Args:
        config: Of the step.
        outputs: Of the faces alone by name; rows after them are left out. Empty where there is none.
        faces: What `faces_among` gave for the batch.
    """
    spread = {tensor.name: np.zeros((len(faces), *tensor.dims), _dtype(config, tensor)) for tensor in config.outputs}
    for name, array in outputs.items():
        spread[name][faces] = array[: faces.sum()]
    return spread


def _dtype(config: BackendConfig, tensor: TensorConfig) -> str:
    dtype = DType.from_triton(tensor.data_type)
    if dtype is None:
        raise PackError(f"model {config.name!r}: {tensor.name} has type {tensor.data_type}, expected one of {[*DType]}")
    return dtype.numpy
