"""Weights of TensorFlow.js: a `weights_manifest.json` that lists tensors, and the binary file that holds them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from fsengine.errors import ExportError, InvalidInputError

Weights = dict[str, NDArray[np.float32]]
"""Tensors by name, in TensorFlow's layouts: convolutions (h, w, in, out), depthwise ones (h, w, in, 1)."""

_STORED: dict[str, np.dtype[Any]] = {
    "uint8": np.dtype("uint8"),
    "uint16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
}


class _Quantization(msgspec.Struct, frozen=True):
    """How integers stand for numbers: q * scale + min."""

    dtype: Literal["uint8", "uint16"]
    scale: float
    min: float


class _Entry(msgspec.Struct, frozen=True):
    """One tensor of a manifest."""

    name: str
    shape: list[Annotated[int, msgspec.Meta(ge=1)]]
    dtype: Literal["float32"]
    quantization: _Quantization | None = None


class _Group(msgspec.Struct, frozen=True):
    """The tensors of one binary file, in the order in which they lie there."""

    weights: Annotated[list[_Entry], msgspec.Meta(min_length=1)]


def read_tfjs_weights(manifest: Path, binary: Path) -> Weights:
    """Read the tensors of a model.

    Quantized tensors are stored as integers q and stand for q * scale + min, as `tf.io.decodeWeights` has it.

    Args:
        manifest: The JSON file; one group of weights, whose shards are `binary` alone.
        binary: Its tensors, one after the other.

    Raises:
        InvalidInputError: A file cannot be read.
        ExportError: The files are no such pair, or do not fit each other to the byte.
    """
    try:
        text, content = manifest.read_bytes(), binary.read_bytes()
    except OSError as exc:
        raise InvalidInputError(f"{exc.filename} cannot be read: {exc.strerror}") from exc
    weights: Weights = {}
    position = 0
    try:
        (group,) = msgspec.json.decode(text, type=list[_Group])
        for entry in group.weights:
            if entry.name in weights:
                raise ValueError(f"two tensors are named {entry.name!r}")
            weights[entry.name] = _tensor(entry, content, position)
            position += math.prod(entry.shape) * _dtype(entry).itemsize
    except (ValueError, OverflowError, RecursionError) as exc:  # msgspec's errors are ValueErrors
        raise ExportError(
            f"{manifest.name} and {binary.name} are not weights of TensorFlow.js ({exc}); expected a "
            "*-weights_manifest.json and the .bin file beside it"
        ) from exc
    if position != len(content):
        raise ExportError(
            f"{binary.name} has {len(content)} bytes, {manifest.name} describes {position}; they are of two models"
        )
    return weights


def _dtype(entry: _Entry) -> np.dtype[Any]:
    return _STORED[entry.dtype if entry.quantization is None else entry.quantization.dtype]


def _tensor(entry: _Entry, content: bytes, position: int) -> NDArray[np.float32]:
    """Return the tensor of an entry that lies at a position.

    Raises:
        ValueError: It does not lie there whole, or holds numbers that are not finite.
    """
    stored = np.frombuffer(content, _dtype(entry), count=math.prod(entry.shape), offset=position)
    values = stored.reshape(entry.shape).astype(np.float32)
    if entry.quantization is not None:
        with np.errstate(over="ignore", invalid="ignore"):  # looked at below
            values = values * np.float32(entry.quantization.scale) + np.float32(entry.quantization.min)
    if not np.isfinite(values).all():
        raise ValueError(f"tensor {entry.name!r} holds numbers that are not finite")
    return values
