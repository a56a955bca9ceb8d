"""Weights of TensorFlow.js: a `weights_manifest.json` that lists tensors, and the binary file that holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import ExportError, InvalidInputError

Weights = dict[str, NDArray[np.float32]]
"""Tensors by name, in TensorFlow's layouts: convolutions (h, w, in, out), depthwise ones (h, w, in, 1)."""

_STORED: dict[str, np.dtype[Any]] = {"uint8": np.dtype("uint8"), "uint16": np.dtype("<u2"), "float32": np.dtype("<f4")}


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
        (group,) = json.loads(text)
        for entry in group["weights"]:
            tensor, position = _tensor(entry, content, position)
            weights[str(entry["name"])] = tensor
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise ExportError(
            f"{manifest.name} and {binary.name} are not weights of TensorFlow.js ({exc!r}); expected a "
            "*-weights_manifest.json and the .bin file beside it"
        ) from exc
    if position != len(content):
        raise ExportError(
            f"{binary.name} has {len(content)} bytes, {manifest.name} describes {position}; they are of two models"
        )
    return weights


def _tensor(entry: dict[str, Any], content: bytes, position: int) -> tuple[NDArray[np.float32], int]:
    """Return the tensor of an entry and where the next one begins."""
    shape = [int(size) for size in entry["shape"]]
    quantization = entry.get("quantization")
    stored = _STORED[entry["dtype"] if quantization is None else quantization["dtype"]]
    count = int(np.prod(shape, dtype=np.int64))
    values = np.frombuffer(content, stored, count=count, offset=position).reshape(shape).astype(np.float32)
    if quantization is not None:
        values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
    return values, position + count * stored.itemsize
