"""Real crops through a graph, to learn how large its values become."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from fsengine.errors import ExportError

LEAST_CALIBRATION_CROPS = 8

_BATCH = 4


def calibration_batches(crops: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Return crops, uint8 (N, S, S, 3), a few at a time.

    Raises:
        ExportError: There are too few.
    """
    if len(crops) < LEAST_CALIBRATION_CROPS:
        raise ExportError(
            f"quantization is calibrated on {len(crops)} face crops, expected at least {LEAST_CALIBRATION_CROPS}; "
            "give more photos with --photos"
        )
    return (crops[start : start + _BATCH] for start in range(0, len(crops), _BATCH))


def largest_magnitudes(
    model: onnx.ModelProto, values: Sequence[str], element_type: int, crops: NDArray[np.uint8]
) -> dict[str, float]:
    """Return the largest absolute number that values of a graph of one input take on real crops.

    Args:
        model: The graph.
        values: Names of the values.
        element_type: Of all of them, as `onnx.TensorProto.DataType`.
        crops: uint8 (N, S, S, 3), RGB.

    Raises:
        ExportError: There are too few crops.
    """
    import onnxruntime as ort

    batches = calibration_batches(crops)
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.helper.make_tensor_value_info(name, element_type, None) for name in values)
    options = ort.SessionOptions()
    # See `fsexport.artifact.onnx_file`: graphs in fp16 crash at the highest level.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    largest = dict.fromkeys(values, 0.0)
    for batch in batches:
        found = session.run(list(values), {model.graph.input[0].name: batch})
        for name, array in zip(values, found, strict=True):
            largest[name] = max(largest[name], float(np.abs(array).max()))
    return largest
