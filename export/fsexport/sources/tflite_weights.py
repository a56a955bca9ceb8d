"""Read the constants of a TFLite flatbuffer, sparse ones as dense arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import ExportError

# Values of the enums of TensorFlow's lite/schema/schema.fbs.
_NUMPY_TYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64, 9: np.int8}
_INDEX_VECTOR_TYPES: dict[int, str] = {1: "Int32Vector", 2: "Uint16Vector", 3: "Uint8Vector"}
_DENSE_DIMENSION = 0


def tensor_constant(model: Any, tensor: Any) -> NDArray[Any] | None:
    """Return what a tensor holds in the file.

    Args:
        model: `tflite.Model`.
        tensor: `tflite.Tensor` of that model.

    Returns:
        The array in the tensor's own shape and layout, or None for a tensor that is computed at run time.

    Raises:
        ExportError: If its element type or its kind of sparsity is none that this module reads.
    """
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    if isinstance(raw, int) or raw.size == 0:  # flatbuffers returns 0 for an absent vector
        return None
    if tensor.Type() not in _NUMPY_TYPES:
        raise ExportError(
            f"TFLite tensor {_name(tensor)} has element type {tensor.Type()}; expected one of "
            f"{sorted(_NUMPY_TYPES)}. Convert a float32 or float16 model"
        )
    values: NDArray[Any] = raw.view(_NUMPY_TYPES[tensor.Type()])
    shape = _vector(tensor.ShapeAsNumpy())
    sparsity = tensor.Sparsity()
    if sparsity is None:
        return values.reshape(shape)
    return _dense(values, shape, sparsity, _name(tensor))


def _dense(values: NDArray[Any], shape: tuple[int, ...], sparsity: Any, name: str) -> NDArray[Any]:
    """Return a sparse tensor as a dense one, read as `SparsityParameters` of TensorFlow's schema.fbs says.

    Each dimension in turn is dense (all of its indices are stored) or compressed (`array_segments` says which
    part of `array_indices` belongs to each entry of the dimensions before it).
    """
    order = _vector(sparsity.TraversalOrderAsNumpy())
    if order != tuple(range(len(shape))) or _vector(sparsity.BlockMapAsNumpy()):
        raise ExportError(
            f"TFLite tensor {name} is sparse in blocks or in the order {order}; expected single values in row order"
        )
    # flat: position in the dense array of each entry that the dimensions so far have stored
    flat = np.zeros(1, np.int64)
    for dimension, size in enumerate(shape):
        metadata = sparsity.DimMetadata(dimension)
        if metadata.Format() == _DENSE_DIMENSION:
            flat = (flat[:, None] * size + np.arange(size)).reshape(-1)
        else:
            segments = _index_vector(metadata.ArraySegments(), metadata.ArraySegmentsType())
            indices = _index_vector(metadata.ArrayIndices(), metadata.ArrayIndicesType())
            flat = np.repeat(flat, np.diff(segments)) * size + indices
    if flat.size != values.size:
        raise ExportError(f"TFLite tensor {name} stores {values.size} values, its sparsity describes {flat.size}")
    dense = np.zeros(int(np.prod(shape)), values.dtype)
    dense[flat] = values
    return dense.reshape(shape)


def _index_vector(table: Any, vector_type: int) -> NDArray[np.int64]:
    """Return a `SparseIndexVector` union as int64 (n,)."""
    import tflite

    vector = getattr(tflite, _INDEX_VECTOR_TYPES[vector_type])()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy()).astype(np.int64)


def _vector(values: Any) -> tuple[int, ...]:
    """Return a flatbuffer vector of integers, empty where it is absent."""
    return () if isinstance(values, int) else tuple(int(v) for v in values)


def _name(tensor: Any) -> str:
    return str(tensor.Name().decode())
